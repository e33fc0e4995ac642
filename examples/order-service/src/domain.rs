//! What the shop is about: orders, customers, stock and promises. Pure code, without store, clock or I/O.

mod customer;
mod money;
mod order;
mod promise;
mod stock;

pub use self::customer::{Customer, CustomerEvent, CustomerId, CustomerRegistered, Register};
pub use self::money::{Cents, InvalidAmount};
pub use self::order::{
    Cancel, CancelUnpaid, ConfirmReserved, Delivery, DeliveryRequested, Line, Order, OrderCancelled,
    OrderError, OrderEvent, OrderId, OrderPaid, OrderPlaced, OrderReady, OrderReserved, OrderShipped, Pay,
    Place, PlaceForDelivery, Ship, Status,
};
pub use self::promise::{
    Announce, Announced, GivePromise, PromiseError, PromiseEvent, PromiseGiven, PromiseWithdrawn, Promises,
    WithdrawPromise,
};
pub use self::stock::{
    Consume, Product, Receive, Release, Reserve, Share, Stock, StockConsumed, StockError, StockEvent,
    StockReceived, StockReleased, StockReserved,
};
