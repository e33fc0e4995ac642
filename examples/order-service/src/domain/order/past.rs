//! What programs of the past have told of orders, and what that is today. It stays for as long as there is a store with it.

use factum::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DeliveryRequested, Line, OrderPaid, OrderReserved};
use crate::domain::{Cents, CustomerId};

/// In the first year, orders were taken by telephone, from the shelf: what was paid was reserved with it. When the shop began to
/// deliver, these became two facts, [`OrderReserved`] and [`OrderPaid`].
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "order.confirmed")]
pub(super) struct OrderConfirmed {
    /// Who has paid.
    customer: CustomerId,
    /// How much.
    amount: Cents,
}

pub(super) fn reserved(_: OrderConfirmed) -> OrderReserved {
    OrderReserved {}
}

pub(super) fn paid(old: OrderConfirmed) -> OrderPaid {
    OrderPaid { customer: old.customer, amount: old.amount }
}

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Version 1 gave customers whole days to pay.
pub(super) fn in_seconds(mut payload: Value) -> Result<Value, &'static str> {
    let fields = payload.as_object_mut().ok_or("it has no fields")?;
    let days = fields.remove("pay_within_days").ok_or("it does not say how many days the customer has")?;
    let seconds =
        days.as_u64().and_then(|days| days.checked_mul(SECONDS_PER_DAY)).ok_or("these are no days")?;
    fields.insert("pay_within_s".to_owned(), seconds.into());
    Ok(payload)
}

/// Version 2 counted seconds, until a test wanted to wait for less.
#[derive(Deserialize)]
pub(super) struct DeliveryRequestedV2 {
    lines: Vec<Line>,
    email: String,
    pay_within_s: u64,
}

pub(super) fn in_milliseconds(old: DeliveryRequestedV2) -> DeliveryRequested {
    let DeliveryRequestedV2 { lines, email, pay_within_s } = old;
    // More than there are milliseconds is for ever.
    DeliveryRequested { lines, email, pay_within_ms: pay_within_s.saturating_mul(1_000) }
}

#[cfg(test)]
mod tests {
    use factum::testing::Scenario;
    use serde_json::json;

    use super::super::{Order, OrderPlaced, Pay, Ship, Status};
    use super::*;
    use crate::domain::{OrderError, OrderShipped, Product};

    fn placed() -> OrderPlaced {
        let line = Line { product: Product("CD".into()), quantity: 1, total: Cents(1177) };
        OrderPlaced { customer: CustomerId("00001".into()), lines: vec![line] }
    }

    #[test]
    fn an_order_that_was_confirmed_is_paid_and_reserved() {
        let confirmed = || {
            Scenario::<Order>::new()
                .given(placed())
                .given_stored("order.viewed", 1, json!({ "by": "Grace" }))
                .given_stored("order.confirmed", 1, json!({ "customer": "00001", "amount": 1177 }))
        };
        confirmed().when(Pay { amount: Cents(1177) }).then_rejected(&OrderError::Already(Status::Paid));
        let _ = confirmed().when(Ship { parcel: "P1".into() }).then(OrderShipped { parcel: "P1".into() });
    }

    #[test]
    fn the_time_to_pay_is_the_same_in_every_version() {
        let of = |key: &str, time: u64| json!({ "lines": [], "email": "", key: time });
        let from_v2 = |payload: Value| {
            in_milliseconds(serde_json::from_value(payload).expect("it is of version 2")).pay_within_ms
        };
        assert_eq!(from_v2(in_seconds(of("pay_within_days", 2)).expect("it has days")), 172_800_000);
        assert_eq!(from_v2(of("pay_within_s", 172_800)), 172_800_000);
        assert_eq!(from_v2(of("pay_within_s", u64::MAX)), u64::MAX);
        assert!(in_seconds(of("pay_within_days", u64::MAX)).is_err());
        assert!(in_seconds(json!({})).is_err() && in_seconds(json!([])).is_err());
    }

    #[test]
    fn a_request_of_every_version_is_read() {
        let versions = [(1, "pay_within_days"), (2, "pay_within_s"), (3, "pay_within_ms")];
        for (version, key) in versions {
            let payload = json!({ "lines": placed().lines, "email": "ada@example.com", key: 9 });
            Scenario::<Order>::new()
                .given(placed())
                .given_stored("order.delivery_requested", version, payload)
                .then_state(|order| {
                    assert_eq!(order.delivery().expect("asked for").email, "ada@example.com");
                });
        }
    }
}
