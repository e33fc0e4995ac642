//! How much each customer has bought.

use std::collections::BTreeMap;

use factum::{Context, DecodeError, Envelope, Event, EventHandler, Flush, On, RecordedEvent, Swap};

use super::{ReadError, ReadModel, Spend};
use crate::domain::{Cents, CustomerId, OrderCancelled, OrderEvent, OrderPaid, OrderPlaced};

/// Keeps the spend of each customer. It gathers a batch in memory and writes it with one statement.
#[derive(EventHandler, Debug)]
#[handler(
    name = "spend-per-customer",
    error = ReadError,
    cx = R::Tx,
    on(OrderPlaced),
    on(OrderPaid),
    on(OrderCancelled),
    flush
)]
pub struct SpendPerCustomer<R: ReadModel> {
    /// Where the rows are.
    pub read: R,
}

/// What a batch adds.
type Gathered = BTreeMap<CustomerId, Spend>;

impl<R: ReadModel> On<OrderPlaced, R::Tx> for SpendPerCustomer<R> {
    async fn on(&self, event: &Envelope<OrderPlaced>, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let OrderPlaced { customer, .. } = &event.event;
        let cds = i64::try_from(event.event.quantity())?;
        let last_order = Some(event.occurred_at().date_naive());
        add(cx.batch(), customer, Spend { orders: 1, cds, spent: Cents(0), last_order });
        Ok(())
    }
}

impl<R: ReadModel> On<OrderPaid, R::Tx> for SpendPerCustomer<R> {
    async fn on(&self, event: &Envelope<OrderPaid>, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let OrderPaid { customer, amount } = &event.event;
        add(cx.batch(), customer, Spend { spent: *amount, ..Spend::default() });
        Ok(())
    }
}

impl<R: ReadModel> On<OrderCancelled, R::Tx> for SpendPerCustomer<R> {
    async fn on(&self, event: &Envelope<OrderCancelled>, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let OrderCancelled { customer, quantity, refund, .. } = &event.event;
        let cds = -i64::try_from(*quantity)?;
        add(cx.batch(), customer, Spend { orders: -1, cds, spent: -*refund, last_order: None });
        Ok(())
    }
}

impl<R: ReadModel> Flush<R::Tx> for SpendPerCustomer<R> {
    async fn flush(&self, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let gathered: Gathered = cx.take_batch();
        self.read.add_spend(cx.tx(), gathered.into_iter().collect()).await
    }
}

/// Leads readers to what [`SpendPerCustomer`] keeps.
#[derive(Debug)]
pub struct SpendInUse<R>(pub R);

impl<R: ReadModel> Swap<R::Tx> for SpendInUse<R> {
    type Error = ReadError;

    async fn swap(&self, tx: &mut R::Tx) -> Result<(), ReadError> {
        self.0.put_spend_in_use(tx).await
    }
}

/// Whose row an event changes: two who work on the events of different customers are not in each other's way.
///
/// # Errors
///
/// [`DecodeError`], if the event cannot be read.
pub fn customer_of(event: &RecordedEvent) -> Result<Option<String>, DecodeError> {
    // An event of long ago may be several today. They are of one order, and so of one customer.
    let mut customers = OrderEvent::decode_all(event)?.into_iter().filter_map(|event| match event {
        OrderEvent::Placed(placed) => Some(placed.customer.0),
        OrderEvent::Paid(paid) => Some(paid.customer.0),
        OrderEvent::Cancelled(cancelled) => Some(cancelled.customer.0),
        _ => None,
    });
    Ok(customers.next())
}

fn add(gathered: &mut Gathered, customer: &CustomerId, spend: Spend) {
    *gathered.entry(customer.clone()).or_default() += spend;
}
