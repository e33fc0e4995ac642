//! How much each customer has bought.

use std::collections::BTreeMap;

use factum::{Context, Envelope, EventHandler, Flush, On};

use super::{ReadError, ReadModel, Spend};
use crate::domain::{Cents, CustomerId, OrderCancelled, OrderPaid, OrderPlaced};

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
        add(cx.batch(), customer, Spend { orders: 1, cds, spent: Cents(0) });
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
        add(cx.batch(), customer, Spend { orders: -1, cds, spent: -*refund });
        Ok(())
    }
}

impl<R: ReadModel> Flush<R::Tx> for SpendPerCustomer<R> {
    async fn flush(&self, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let gathered: Gathered = cx.take_batch();
        self.read.add_spend(cx.tx(), gathered.into_iter().collect()).await
    }
}

fn add(gathered: &mut Gathered, customer: &CustomerId, spend: Spend) {
    *gathered.entry(customer.clone()).or_default() += spend;
}
