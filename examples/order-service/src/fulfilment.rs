//! The process that has orders delivered: goods are reserved, the customer pays in time, and the order is shipped; or it is
//! cancelled, and what was reserved is put back.
//!
//! The [`Order`] decides every race. It is shipped only if it is paid and reserved, and cancelled only if it is not shipped,
//! so whoever comes second is told so: a customer who pays while patience is lost, somebody who ships by hand, a process that
//! reserves goods for what was cancelled meanwhile. The process makes no such decision. It asks, and follows what the order
//! says has happened: goods are consumed because an order *was* shipped, and put back because it *was* cancelled, whoever did
//! that.
//!
//! Orders that an import brings do not concern it: it begins with [`DeliveryRequested`], which only the service records.

use std::collections::BTreeMap;
use std::convert::Infallible;

use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Aggregate, Apply, Deadline, Envelope, Event, Events, Issue, ProcessManager, React, StreamId, events,
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Cancel, CancelUnpaid, ConfirmReserved, Consume, DeliveryRequested, Order, OrderCancelled, OrderError,
    OrderId, OrderReady, OrderShipped, Product, Release, Reserve, Ship, Stock, StockError, StockReserved,
};

// ---- What it records -------------------------------------------------------------------------------------------

/// An order is to be delivered. Sets the deadline for its payment.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.begun")]
pub struct Begun {
    /// How many of what, each product once.
    pub goods: BTreeMap<Product, u32>,
    /// How long the customer may take to pay, in milliseconds.
    pub pay_within_ms: u64,
}

/// Goods are to be reserved, one product after the other.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.reservation_requested")]
pub struct ReservationRequested {
    /// What.
    pub product: Product,
    /// How many.
    pub quantity: u32,
}

/// Everything is reserved, and the order is to know.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.all_reserved")]
pub struct AllReserved {}

/// There is too little of something, so the order is to be cancelled.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.goods_missing")]
pub struct GoodsMissing {
    /// Of what there is too little, and how much there is.
    pub reason: String,
}

/// The time for the payment is over, so the order is to be cancelled unless it is paid.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.payment_overdue")]
pub struct PaymentOverdue {}

/// Nothing is missing, so the order is to be shipped.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.shipment_requested")]
pub struct ShipmentRequested {}

/// What was reserved of a product is to leave the house.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.consumption_requested")]
pub struct ConsumptionRequested {
    /// Which.
    pub product: Product,
}

/// What was reserved of a product is to be put back.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.release_requested")]
pub struct ReleaseRequested {
    /// Which.
    pub product: Product,
}

/// The order was shipped or cancelled: nothing more is decided.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "fulfilment.ended")]
pub struct Ended {}

/// Everything that a fulfilment records.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum FulfilmentEvent {
    /// An order is to be delivered.
    Begun(Begun),
    /// Goods are to be reserved.
    ReservationRequested(ReservationRequested),
    /// Everything is reserved.
    AllReserved(AllReserved),
    /// There is too little of something.
    GoodsMissing(GoodsMissing),
    /// The time for the payment is over.
    PaymentOverdue(PaymentOverdue),
    /// The order is to be shipped.
    ShipmentRequested(ShipmentRequested),
    /// Goods are to leave the house.
    ConsumptionRequested(ConsumptionRequested),
    /// Goods are to be put back.
    ReleaseRequested(ReleaseRequested),
    /// Nothing more is decided.
    Ended(Ended),
}

// ---- The state that follows ------------------------------------------------------------------------------------

/// The fulfilment of one order, which has the order's id.
#[derive(Aggregate, ProcessManager, Default, Clone, Debug, PartialEq, Eq)]
#[aggregate(category = "fulfilment", id = OrderId, event = FulfilmentEvent)]
#[process(
    name = "fulfilment",
    on(DeliveryRequested),
    on(StockReserved),
    on(OrderReady),
    on(OrderShipped),
    on(OrderCancelled),
    issues(ReservationRequested),
    issues(AllReserved),
    issues(GoodsMissing),
    issues(PaymentOverdue),
    issues(ShipmentRequested),
    issues(ConsumptionRequested),
    issues(ReleaseRequested),
    deadline(Begun)
)]
pub struct Fulfilment {
    step: Step,
    goods: BTreeMap<Product, u32>,
    /// The product that was asked for last; those before it in the order of `goods` are reserved.
    asked_for: Option<Product>,
}

/// What a fulfilment waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// It has not begun.
    #[default]
    New,
    /// Goods.
    Goods,
    /// The payment.
    Payment,
    /// The order's answer to what was asked of it.
    Answer,
    /// Nothing.
    Over,
}

impl Apply<Begun> for Fulfilment {
    fn apply(&mut self, event: Begun) {
        self.step = Step::Goods;
        self.goods = event.goods;
    }
}

impl Apply<ReservationRequested> for Fulfilment {
    fn apply(&mut self, event: ReservationRequested) {
        self.asked_for = Some(event.product);
    }
}

impl Apply<AllReserved> for Fulfilment {
    fn apply(&mut self, _: AllReserved) {
        self.step = Step::Payment;
    }
}

impl Apply<GoodsMissing> for Fulfilment {
    fn apply(&mut self, _: GoodsMissing) {
        if self.step != Step::Over {
            self.step = Step::Answer;
        }
    }
}

impl Apply<ShipmentRequested> for Fulfilment {
    fn apply(&mut self, _: ShipmentRequested) {
        self.step = Step::Answer;
    }
}

impl Apply<Ended> for Fulfilment {
    fn apply(&mut self, _: Ended) {
        self.step = Step::Over;
    }
}

/// It says nothing to the state: the order may be paid all the same.
impl Apply<PaymentOverdue> for Fulfilment {
    fn apply(&mut self, _: PaymentOverdue) {}
}

impl Apply<ConsumptionRequested> for Fulfilment {
    fn apply(&mut self, _: ConsumptionRequested) {}
}

impl Apply<ReleaseRequested> for Fulfilment {
    fn apply(&mut self, _: ReleaseRequested) {}
}

impl Fulfilment {
    /// The products that were asked for, reserved or not: the last one may be so at any moment.
    fn touched(&self) -> impl Iterator<Item = Product> + use<'_> {
        self.goods.keys().take_while(|product| Some(*product) <= self.asked_for.as_ref()).cloned()
    }
}

fn reservation((product, quantity): (&Product, &u32)) -> ReservationRequested {
    ReservationRequested { product: product.clone(), quantity: *quantity }
}

// ---- The reactions ---------------------------------------------------------------------------------------------

/// An order and its fulfilment have one id.
fn order(stream: &StreamId) -> OrderId {
    OrderId(stream.id().to_owned())
}

impl React<DeliveryRequested> for Fulfilment {
    fn process(event: &Envelope<DeliveryRequested>) -> Option<OrderId> {
        Some(order(&event.stream))
    }

    fn react(&self, event: &Envelope<DeliveryRequested>) -> Events<FulfilmentEvent> {
        let mut goods = BTreeMap::new();
        for line in &event.event.lines {
            let quantity: &mut u32 = goods.entry(line.product.clone()).or_default();
            *quantity = quantity.saturating_add(line.quantity);
        }
        let first = goods.iter().next().map(reservation);
        let begun = events![Begun { goods, pay_within_ms: event.event.pay_within_ms }];
        match first {
            Some(first) => begun.and(first),
            None => begun.and(AllReserved {}),
        }
    }
}

impl React<StockReserved> for Fulfilment {
    fn process(event: &Envelope<StockReserved>) -> Option<OrderId> {
        Some(event.event.order.clone())
    }

    fn react(&self, event: &Envelope<StockReserved>) -> Events<FulfilmentEvent> {
        if self.step != Step::Goods || self.asked_for.as_ref().is_none_or(|last| last.0 != event.stream.id())
        {
            return Events::none();
        }
        match self.goods.iter().find(|(product, _)| Some(*product) > self.asked_for.as_ref()) {
            Some(next) => events![reservation(next)],
            None => events![AllReserved {}],
        }
    }
}

impl React<OrderReady> for Fulfilment {
    fn process(event: &Envelope<OrderReady>) -> Option<OrderId> {
        Some(order(&event.stream))
    }

    fn react(&self, _: &Envelope<OrderReady>) -> Events<FulfilmentEvent> {
        match self.step {
            Step::Payment => events![ShipmentRequested {}],
            Step::New | Step::Goods | Step::Answer | Step::Over => Events::none(),
        }
    }
}

impl React<OrderShipped> for Fulfilment {
    fn process(event: &Envelope<OrderShipped>) -> Option<OrderId> {
        Some(order(&event.stream))
    }

    fn react(&self, _: &Envelope<OrderShipped>) -> Events<FulfilmentEvent> {
        match self.step {
            // It is not one of the service's orders, or is over.
            Step::New | Step::Over => Events::none(),
            Step::Goods | Step::Payment | Step::Answer => {
                let consumed = self.touched().map(|product| ConsumptionRequested { product });
                consumed.fold(events![Ended {}], Events::and)
            }
        }
    }
}

impl React<OrderCancelled> for Fulfilment {
    fn process(event: &Envelope<OrderCancelled>) -> Option<OrderId> {
        Some(order(&event.stream))
    }

    fn react(&self, _: &Envelope<OrderCancelled>) -> Events<FulfilmentEvent> {
        match self.step {
            Step::New | Step::Over => Events::none(),
            // A reservation may still be on its way. The commands of a process are executed in their order, so it will have
            // come before it is released.
            Step::Goods | Step::Payment | Step::Answer => {
                let released = self.touched().map(|product| ReleaseRequested { product });
                released.fold(events![Ended {}], Events::and)
            }
        }
    }
}

// ---- The deadline ----------------------------------------------------------------------------------------------

impl Deadline<Begun> for Fulfilment {
    fn due(event: &Envelope<Begun>) -> Option<DateTime<Utc>> {
        let patience = TimeDelta::try_milliseconds(event.event.pay_within_ms.try_into().ok()?)?;
        event.recorded_at.checked_add_signed(patience)
    }

    /// Whether the order is paid is the order's to know.
    fn elapsed(&self, _: &Envelope<Begun>) -> Events<FulfilmentEvent> {
        match self.step {
            Step::Goods | Step::Payment => events![PaymentOverdue {}],
            Step::New | Step::Answer | Step::Over => Events::none(),
        }
    }
}

// ---- The commands ----------------------------------------------------------------------------------------------

impl Issue<ReservationRequested> for Fulfilment {
    type Target = Stock;
    type Command = Reserve;

    fn issue(event: &Envelope<ReservationRequested>) -> (Product, Reserve) {
        let ReservationRequested { product, quantity } = event.event.clone();
        (product, Reserve { order: order(&event.stream), quantity })
    }

    /// Also where the order was cancelled meanwhile: cancelling it once more changes nothing.
    fn rejected(
        &self,
        event: &Envelope<ReservationRequested>,
        error: &StockError,
    ) -> Events<FulfilmentEvent> {
        events![GoodsMissing { reason: format!("{}: {error}", event.event.product) }]
    }
}

impl Issue<AllReserved> for Fulfilment {
    type Target = Order;
    type Command = ConfirmReserved;

    fn issue(event: &Envelope<AllReserved>) -> (OrderId, ConfirmReserved) {
        (order(&event.stream), ConfirmReserved)
    }

    /// It was cancelled meanwhile, which is heard of too.
    fn rejected(&self, _: &Envelope<AllReserved>, _: &OrderError) -> Events<FulfilmentEvent> {
        Events::none()
    }
}

impl Issue<GoodsMissing> for Fulfilment {
    type Target = Order;
    type Command = Cancel;

    fn issue(event: &Envelope<GoodsMissing>) -> (OrderId, Cancel) {
        (order(&event.stream), Cancel { reason: event.event.reason.clone() })
    }

    /// It cannot have been shipped, since not everything was reserved.
    fn rejected(&self, _: &Envelope<GoodsMissing>, _: &OrderError) -> Events<FulfilmentEvent> {
        Events::none()
    }
}

impl Issue<PaymentOverdue> for Fulfilment {
    type Target = Order;
    type Command = CancelUnpaid;

    fn issue(event: &Envelope<PaymentOverdue>) -> (OrderId, CancelUnpaid) {
        (order(&event.stream), CancelUnpaid { reason: "it was not paid in time".into() })
    }

    /// It was paid at the last moment, or is even shipped: all goes on as if nobody had asked.
    fn rejected(&self, _: &Envelope<PaymentOverdue>, _: &OrderError) -> Events<FulfilmentEvent> {
        Events::none()
    }
}

impl Issue<ShipmentRequested> for Fulfilment {
    type Target = Order;
    type Command = Ship;

    fn issue(event: &Envelope<ShipmentRequested>) -> (OrderId, Ship) {
        let order = order(&event.stream);
        let parcel = format!("P-{order}");
        (order, Ship { parcel })
    }

    /// Somebody has shipped it by hand, or has cancelled it, which is heard of too.
    fn rejected(&self, _: &Envelope<ShipmentRequested>, _: &OrderError) -> Events<FulfilmentEvent> {
        Events::none()
    }
}

impl Issue<ConsumptionRequested> for Fulfilment {
    type Target = Stock;
    type Command = Consume;

    fn issue(event: &Envelope<ConsumptionRequested>) -> (Product, Consume) {
        (event.event.product.clone(), Consume { order: order(&event.stream) })
    }

    fn rejected(&self, _: &Envelope<ConsumptionRequested>, never: &Infallible) -> Events<FulfilmentEvent> {
        match *never {}
    }
}

impl Issue<ReleaseRequested> for Fulfilment {
    type Target = Stock;
    type Command = Release;

    fn issue(event: &Envelope<ReleaseRequested>) -> (Product, Release) {
        (event.event.product.clone(), Release { order: order(&event.stream) })
    }

    fn rejected(&self, _: &Envelope<ReleaseRequested>, never: &Infallible) -> Events<FulfilmentEvent> {
        match *never {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use factum::testing::ProcessScenario;

    use super::*;
    use crate::domain::{Cents, CustomerId, Line, Status};

    const PATIENCE: Duration = Duration::from_mins(15);

    fn id() -> OrderId {
        OrderId("1".into())
    }

    fn of_order() -> StreamId {
        "order/1".parse().expect("a stream")
    }

    fn product(name: &str) -> Product {
        Product(name.into())
    }

    fn line(name: &str, quantity: u32) -> Line {
        Line { product: product(name), quantity, total: Cents(100) }
    }

    fn requested(lines: &[Line]) -> DeliveryRequested {
        let pay_within_ms = PATIENCE.as_millis().try_into().expect("minutes");
        DeliveryRequested { lines: lines.to_vec(), email: "ada@example.com".into(), pay_within_ms }
    }

    fn begun(goods: &[(&str, u32)]) -> Begun {
        let goods = goods.iter().map(|(name, quantity)| (product(name), *quantity)).collect();
        Begun { goods, pay_within_ms: PATIENCE.as_millis().try_into().expect("minutes") }
    }

    fn wants(name: &str, quantity: u32) -> ReservationRequested {
        ReservationRequested { product: product(name), quantity }
    }

    fn releases(name: &str) -> ReleaseRequested {
        ReleaseRequested { product: product(name) }
    }

    fn consumes(name: &str) -> ConsumptionRequested {
        ConsumptionRequested { product: product(name) }
    }

    fn cancelled() -> OrderCancelled {
        let customer = CustomerId("ada".into());
        OrderCancelled { customer, quantity: 3, refund: Cents(0), reason: "changed my mind".into() }
    }

    fn shipped() -> OrderShipped {
        OrderShipped { parcel: "by hand".into() }
    }

    fn missing() -> StockError {
        StockError::Missing { quantity: 1, available: 0 }
    }

    fn goods_missing(name: &str) -> GoodsMissing {
        GoodsMissing { reason: format!("{name}: only 0 of 1 are there") }
    }

    trait Comes {
        /// The stock of a product says that it is reserved.
        fn reserved(self, name: &str) -> Self;
    }

    impl Comes for ProcessScenario<Fulfilment> {
        fn reserved(self, name: &str) -> Self {
            let stream = StreamId::new("stock", name).expect("a stream");
            self.when(stream, StockReserved { order: id(), quantity: 1 })
        }
    }

    /// It has asked for the first of two products.
    fn asking() -> ProcessScenario<Fulfilment> {
        ProcessScenario::new().of(&id()).given(begun(&[("blue", 2), ("red", 1)])).given(wants("blue", 2))
    }

    /// It has both.
    fn all_reserved() -> ProcessScenario<Fulfilment> {
        asking().given(wants("red", 1)).given(AllReserved {})
    }

    #[test]
    fn goods_are_reserved_one_product_after_the_other() {
        let process = ProcessScenario::<Fulfilment>::new()
            .when(of_order(), requested(&[line("red", 1), line("blue", 1), line("blue", 1)]))
            .of(&id())
            .then_all(events![begun(&[("blue", 2), ("red", 1)]), wants("blue", 2)]);
        let reserve = |quantity| Reserve { order: id(), quantity };
        assert_eq!(process.issued::<ReservationRequested>(), (product("blue"), reserve(2)));

        let process = process.reserved("blue").then(wants("red", 1));
        assert_eq!(process.issued::<ReservationRequested>(), (product("red"), reserve(1)));

        let process = process.reserved("red").then(AllReserved {});
        assert_eq!(process.issued::<AllReserved>(), (id(), ConfirmReserved));
    }

    #[test]
    fn an_order_that_is_ready_is_shipped_and_its_goods_leave_the_house() {
        let process = all_reserved().when(of_order(), OrderReady {}).then(ShipmentRequested {});
        assert_eq!(process.issued::<ShipmentRequested>(), (id(), Ship { parcel: "P-1".into() }));

        let process = process.when(of_order(), shipped()).then_all(events![
            Ended {},
            consumes("blue"),
            consumes("red")
        ]);
        assert_eq!(process.issued::<ConsumptionRequested>(), (product("red"), Consume { order: id() }));
        // The deadline finds nothing to do.
        process.after(PATIENCE).then_nothing();
    }

    #[test]
    fn an_order_of_which_something_is_missing_is_cancelled_and_the_rest_is_put_back() {
        let process = asking()
            .reserved("blue")
            .then(wants("red", 1))
            .when_rejected::<ReservationRequested>(&missing())
            .then(goods_missing("red"));
        let cancel = Cancel { reason: "red: only 0 of 1 are there".into() };
        assert_eq!(process.issued::<GoodsMissing>(), (id(), cancel));

        let process = process.when(of_order(), cancelled()).then_all(events![
            Ended {},
            releases("blue"),
            releases("red")
        ]);
        assert_eq!(process.issued::<ReleaseRequested>(), (product("red"), Release { order: id() }));
        process.after(PATIENCE).then_nothing();
    }

    #[test]
    fn an_order_that_is_not_paid_in_time_is_cancelled_and_its_goods_are_put_back() {
        let process = all_reserved()
            .after(PATIENCE.checked_sub(Duration::from_millis(1)).expect("minutes"))
            .then_nothing()
            .after(Duration::from_millis(1))
            .then(PaymentOverdue {});
        let cancel = CancelUnpaid { reason: "it was not paid in time".into() };
        assert_eq!(process.issued::<PaymentOverdue>(), (id(), cancel));
        let _ = process.when(of_order(), cancelled()).then_all(events![
            Ended {},
            releases("blue"),
            releases("red")
        ]);
    }

    #[test]
    fn an_order_that_is_paid_at_the_last_moment_is_shipped() {
        let process = all_reserved().after(PATIENCE).then(PaymentOverdue {});
        let _ = process
            .when_rejected::<PaymentOverdue>(&OrderError::Already(Status::Paid))
            .then_nothing()
            .when(of_order(), OrderReady {})
            .then(ShipmentRequested {});
    }

    #[test]
    fn a_deadline_that_passes_while_goods_are_awaited_asks_the_order_too() {
        let process = asking().after(PATIENCE).then(PaymentOverdue {});
        // It is paid, so it is waited for.
        let _ = process
            .when_rejected::<PaymentOverdue>(&OrderError::Already(Status::Paid))
            .then_nothing()
            .reserved("blue")
            .then(wants("red", 1));
    }

    #[test]
    fn goods_on_their_way_to_a_cancelled_order_are_put_back() {
        // The reservation of red is asked for and not yet heard of.
        let process = asking().given(wants("red", 1)).when(of_order(), cancelled());
        let process = process.then_all(events![Ended {}, releases("blue"), releases("red")]);
        // It is heard of, or is rejected, too late to matter.
        process.reserved("red").then_nothing();
        let process = asking().given(Ended {}).given(releases("blue"));
        let _ = process
            .when_rejected::<ReservationRequested>(&missing())
            .then(goods_missing("blue"))
            .when(of_order(), cancelled())
            .then_nothing();
    }

    #[test]
    fn goods_that_were_not_asked_for_are_not_put_back() {
        let _ = asking().when(of_order(), cancelled()).then_all(events![Ended {}, releases("blue")]);
    }

    #[test]
    fn an_order_that_is_cancelled_before_it_knows_of_its_goods_is_not_shipped() {
        let process = all_reserved().when_rejected::<AllReserved>(&OrderError::Already(Status::Cancelled));
        let _ = process.then_nothing().when(of_order(), cancelled()).then_all(events![
            Ended {},
            releases("blue"),
            releases("red")
        ]);
    }

    #[test]
    fn an_order_that_is_cancelled_before_it_is_shipped_stays_cancelled() {
        let process = all_reserved().when(of_order(), OrderReady {}).then(ShipmentRequested {});
        let _ = process
            .when_rejected::<ShipmentRequested>(&OrderError::Already(Status::Cancelled))
            .then_nothing()
            .when(of_order(), cancelled())
            .then_all(events![Ended {}, releases("blue"), releases("red")]);
    }

    #[test]
    fn an_order_that_is_shipped_by_hand_consumes_its_goods_once() {
        let all = || events![Ended {}, consumes("blue"), consumes("red")];
        // Before the process has heard that it is ready, and after.
        let process = all_reserved().when(of_order(), shipped()).then_all(all());
        let _ = process.when(of_order(), OrderReady {}).then_nothing();
        let process = all_reserved().when(of_order(), OrderReady {}).then(ShipmentRequested {});
        let process = process.when_rejected::<ShipmentRequested>(&OrderError::Already(Status::Shipped));
        let process = process.then_nothing().when(of_order(), shipped()).then_all(all());
        process.when(of_order(), shipped()).then_nothing();
    }

    #[test]
    fn orders_that_were_imported_are_left_alone() {
        ProcessScenario::<Fulfilment>::new().when(of_order(), shipped()).then_nothing();
        ProcessScenario::<Fulfilment>::new().when(of_order(), cancelled()).then_nothing();
    }
}
