//! The shapes of all events, frozen: what is stored of the shop stays readable, or these tests fail and say what to write.

use factum::testing::Frozen;
use serde_json::json;

use crate::domain::{
    Announced, Cents, CustomerEvent, CustomerId, CustomerRegistered, DeliveryRequested, Line, OrderCancelled,
    OrderEvent, OrderId, OrderPaid, OrderPlaced, OrderReady, OrderReserved, OrderShipped, Product,
    PromiseEvent, PromiseGiven, PromiseWithdrawn, StockConsumed, StockEvent, StockReceived, StockReleased,
    StockReserved,
};
use crate::fulfilment::{
    AllReserved, Begun, ConsumptionRequested, Ended, FulfilmentEvent, GoodsMissing, PaymentOverdue,
    ReleaseRequested, ReservationRequested, ShipmentRequested,
};

fn ada() -> CustomerId {
    CustomerId("00001".into())
}

fn cd() -> Product {
    Product("CD".into())
}

fn order() -> OrderId {
    OrderId("cdnow-1".into())
}

fn lines() -> Vec<Line> {
    vec![Line { product: cd(), quantity: 2, total: Cents(2354) }]
}

#[test]
fn what_was_stored_of_orders_stays_readable() {
    let requested = |key: &str, time: u64| json!({ "lines": lines(), "email": "ada@example.com", key: time });
    Frozen::<OrderEvent>::at("tests/frozen/orders.json")
        .sample(OrderPlaced { customer: ada(), lines: lines() })
        .sample(DeliveryRequested { lines: lines(), email: "ada@example.com".into(), pay_within_ms: 900_000 })
        .stored("order.delivery_requested", 1, requested("pay_within_days", 2))
        .stored("order.delivery_requested", 2, requested("pay_within_s", 900))
        .sample(OrderReserved {})
        .sample(OrderPaid { customer: ada(), amount: Cents(2354) })
        .stored("order.confirmed", 1, json!({ "customer": "00001", "amount": 2354 }))
        .sample(OrderReady {})
        .sample(OrderShipped { parcel: "P1".into() })
        .sample(OrderCancelled {
            customer: ada(),
            quantity: 2,
            refund: Cents(2354),
            reason: "changed my mind".into(),
        })
        .stored("order.viewed", 1, json!({ "by": "Grace" }))
        .check();
}

#[test]
fn what_was_stored_of_customers_stays_readable() {
    Frozen::<CustomerEvent>::at("tests/frozen/customers.json")
        .sample(CustomerRegistered { customer: ada() })
        .check();
}

#[test]
fn what_was_stored_of_stock_stays_readable() {
    Frozen::<StockEvent>::at("tests/frozen/stock.json")
        .sample(StockReceived { quantity: 5 })
        .sample(StockReserved { order: order(), quantity: 2 })
        .sample(StockReleased { order: order() })
        .sample(StockConsumed { order: order() })
        .check();
}

#[test]
fn what_was_stored_of_promises_stays_readable_and_is_found() {
    Frozen::<PromiseEvent>::at("tests/frozen/promises.json")
        .sample(Announced { product: cd(), units: 5 })
        .sample(PromiseGiven { product: cd(), order: order(), units: 2 })
        .sample(PromiseWithdrawn { product: cd(), order: order() })
        .check();
}

#[test]
fn what_was_stored_of_fulfilments_stays_readable() {
    Frozen::<FulfilmentEvent>::at("tests/frozen/fulfilments.json")
        .sample(Begun { goods: [(cd(), 2)].into(), pay_within_ms: 900_000 })
        .sample(ReservationRequested { product: cd(), quantity: 2 })
        .sample(AllReserved {})
        .sample(GoodsMissing { reason: "there is 1 of CD".into() })
        .sample(PaymentOverdue {})
        .sample(ShipmentRequested {})
        .sample(ConsumptionRequested { product: cd() })
        .sample(ReleaseRequested { product: cd() })
        .sample(Ended {})
        .check();
}
