//! Given, when, then, for processes: what a scenario tells, and what it refuses to take for told.

use std::time::Duration;

use factum::events;
use factum::testing::ProcessScenario;

use crate::clock::{Clock, Rung, Tell, Wound};
use crate::fulfilment::{
    Begun, Cancel, Fulfilment, GivenUp, Held, Hold, OrderPlaced, OrderShipped, Packed, Paid, PatienceLost,
    PaymentIs, PaymentReceived, PaymentRefused, PaymentStatus, PaymentWithdrawn, Request, Step, StockError,
    StockHeld, StockReturned, Taken, Withdraw,
};

const PATIENCE: Duration = Duration::from_millis(50);

fn placed() -> OrderPlaced {
    OrderPlaced { item: "lamp".into(), pay_within_ms: 50 }
}

fn begun() -> Begun {
    Begun { item: "lamp".into(), pay_within_ms: 50 }
}

fn held() -> StockHeld {
    StockHeld { pay_within_ms: 50 }
}

fn returned() -> StockReturned {
    StockReturned { item: "lamp".into() }
}

fn sold_out() -> GivenUp {
    GivenUp { why: "nothing is left".into() }
}

fn late() -> GivenUp {
    GivenUp { why: "the customer did not pay in time".into() }
}

/// Waits for the payment of order 42.
fn waiting() -> ProcessScenario<Fulfilment> {
    ProcessScenario::new().of(&42).given(begun()).given(held())
}

#[test]
fn tells_what_a_process_records_from_the_first_event_to_the_last() {
    let fulfilment = ProcessScenario::<Fulfilment>::new()
        .when("order/42".parse().unwrap(), placed())
        .of(&42)
        .then(begun());
    assert_eq!(fulfilment.issued::<Begun>(), ("lamp".to_owned(), Hold(42)));
    let fulfilment = fulfilment.when("stock/lamp".parse().unwrap(), Held { order: 42 }).then(held());
    assert_eq!(fulfilment.issued::<StockHeld>(), (42, Request));
    fulfilment
        .when("payment/42".parse().unwrap(), PaymentReceived {})
        .then(Paid { item: "lamp".into() })
        .when("stock/lamp".parse().unwrap(), Taken { order: 42 })
        .then(Packed {})
        .then_state(|fulfilment| assert_eq!(fulfilment.step, Step::Over));
}

#[test]
fn a_deadline_goes_off_at_its_time_and_once() {
    let fulfilment = waiting().after(Duration::from_micros(49_999)).then_nothing();
    let fulfilment = fulfilment.after(Duration::from_micros(1)).then(PatienceLost {});
    assert_eq!(fulfilment.issued::<PatienceLost>(), (42, Withdraw));
    let fulfilment = fulfilment
        .when("payment/42".parse().unwrap(), PaymentWithdrawn {})
        .then_all(events![returned(), late()])
        .after(10 * PATIENCE)
        .then_nothing();
    assert_eq!(fulfilment.issued::<GivenUp>(), (42, Cancel(late().why)));
}

#[test]
fn a_deadline_of_a_process_that_has_moved_on_records_nothing() {
    waiting()
        .when("payment/42".parse().unwrap(), PaymentReceived {})
        .then(Paid { item: "lamp".into() })
        .after(PATIENCE)
        .then_nothing();
}

#[test]
fn deadlines_go_off_in_the_order_of_their_times_also_those_that_are_set_meanwhile() {
    let clock = ProcessScenario::<Clock>::new()
        .given(Wound { minutes: 30 })
        .after(Duration::from_mins(10))
        .given(Wound { minutes: 10 })
        .given(Wound { minutes: 0 });
    let rung = |set_for, at| Rung { set_for, at };
    clock
        .after(Duration::from_mins(25))
        // One that is set for no later than now goes off at once, and each sets another for 5 minutes later.
        .then_all(events![rung(0, 10), rung(5, 15), rung(10, 20), rung(5, 25), rung(30, 30), rung(5, 35)]);
}

#[test]
fn the_clock_can_be_set() {
    ProcessScenario::<Clock>::new()
        .at(chrono::DateTime::UNIX_EPOCH + Duration::from_mins(10))
        .given(Wound { minutes: 1 })
        .after(Duration::from_mins(1))
        .then(Rung { set_for: 1, at: 11 });
}

#[test]
fn a_command_that_is_rejected_leads_to_what_the_process_says() {
    let fulfilment = ProcessScenario::<Fulfilment>::new()
        .when("order/7".parse().unwrap(), placed())
        .then(begun())
        .when_rejected::<Begun>(&StockError::SoldOut)
        .then(sold_out());
    assert_eq!(fulfilment.issued::<GivenUp>(), (7, Cancel(sold_out().why)));
    waiting()
        .given(PatienceLost {})
        .when_rejected::<PatienceLost>(&PaymentIs(PaymentStatus::Received))
        .then_nothing();
}

#[test]
fn an_event_that_concerns_no_process_leads_to_nothing() {
    ProcessScenario::<Fulfilment>::new()
        .when("stock/lamp".parse().unwrap(), Held { order: 0 })
        .then_nothing();
}

#[test]
fn its_own_events_say_what_they_follow_from() {
    let clock = ProcessScenario::<Clock>::new()
        .when("order/42".parse().unwrap(), placed())
        .then(Wound { minutes: 0 });
    let (_, Tell { caused_by }) = clock.issued::<Wound>();
    assert!(caused_by.is_some());
}

#[test]
#[should_panic(expected = "the process has recorded other events")]
fn another_event_than_expected_is_told() {
    waiting().when("payment/42".parse().unwrap(), PaymentRefused {}).then(Paid { item: "lamp".into() });
}

#[test]
#[should_panic(expected = "the process has recorded other events")]
fn an_event_too_many_is_told() {
    waiting().when("payment/42".parse().unwrap(), PaymentRefused {}).then(returned());
}

#[test]
#[should_panic(expected = "the process has recorded other events")]
fn something_where_nothing_was_expected_is_told() {
    waiting().after(PATIENCE).then_nothing();
}

#[test]
#[should_panic(expected = "the process has recorded other events")]
fn an_event_that_nobody_has_asked_for_is_not_passed_over() {
    waiting()
        .after(PATIENCE)
        .when("payment/42".parse().unwrap(), PaymentReceived {})
        .then(Paid { item: "lamp".into() });
}

#[test]
#[should_panic(expected = "it is another process")]
fn an_event_of_another_process_is_told() {
    waiting().when("payment/43".parse().unwrap(), PaymentReceived {}).then_nothing();
}

#[test]
#[should_panic(expected = "it is another process")]
fn another_id_than_expected_is_told() {
    ProcessScenario::<Fulfilment>::new().when("order/42".parse().unwrap(), placed()).of(&43).then(begun());
}

#[test]
#[should_panic(expected = "the event concerns no process")]
fn an_event_that_should_concern_a_process_and_does_not_is_told() {
    ProcessScenario::<Fulfilment>::new()
        .when("stock/lamp".parse().unwrap(), Held { order: 0 })
        .of(&0)
        .then_nothing();
}

#[test]
#[should_panic(expected = "process `fulfilment` does not list event order.shipped: `on(..)`")]
fn an_event_that_is_not_listed_is_told() {
    waiting().when("order/42".parse().unwrap(), OrderShipped {}).then_nothing();
}

#[test]
#[should_panic(expected = "the process has recorded no fulfilment.patience_lost")]
fn a_command_that_was_not_issued_is_told() {
    let _ = waiting().issued::<PatienceLost>();
}

#[test]
#[should_panic(expected = "what the process has recorded is checked before more is given")]
fn what_is_given_hides_nothing() {
    waiting().after(PATIENCE).given(PatienceLost {}).then_nothing();
}
