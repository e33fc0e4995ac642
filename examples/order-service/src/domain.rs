//! What the shop is about: orders and customers. Pure code, without store, clock or I/O.

mod customer;
mod money;
mod order;

pub use self::customer::{Customer, CustomerEvent, CustomerId, CustomerRegistered, Register};
pub use self::money::{Cents, InvalidAmount};
pub use self::order::{
    Cancel, Line, Order, OrderCancelled, OrderError, OrderEvent, OrderId, OrderPaid, OrderPlaced,
    OrderShipped, Pay, Place, Ship, Status,
};
