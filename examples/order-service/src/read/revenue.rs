//! How much each month has brought.

use std::collections::BTreeMap;

use factum::{Context, Envelope, EventHandler, Flush, On};

use super::{Month, ReadError, ReadModel};
use crate::domain::{Cents, OrderCancelled, OrderPaid};

/// Keeps the revenue of each month: what was paid in it, less what was paid back in it.
#[derive(EventHandler, Debug)]
#[handler(
    name = "revenue-per-month",
    error = ReadError,
    cx = R::Tx,
    on(OrderPaid),
    on(OrderCancelled),
    flush
)]
pub struct RevenuePerMonth<R: ReadModel> {
    /// Where the rows are.
    pub read: R,
}

/// What a batch adds.
type Gathered = BTreeMap<Month, Cents>;

impl<R: ReadModel> On<OrderPaid, R::Tx> for RevenuePerMonth<R> {
    async fn on(&self, event: &Envelope<OrderPaid>, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let gathered: &mut Gathered = cx.batch();
        *gathered.entry(event.occurred_at().into()).or_default() += event.event.amount;
        Ok(())
    }
}

impl<R: ReadModel> On<OrderCancelled, R::Tx> for RevenuePerMonth<R> {
    async fn on(&self, event: &Envelope<OrderCancelled>, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let gathered: &mut Gathered = cx.batch();
        *gathered.entry(event.occurred_at().into()).or_default() += -event.event.refund;
        Ok(())
    }
}

impl<R: ReadModel> Flush<R::Tx> for RevenuePerMonth<R> {
    async fn flush(&self, cx: &mut Context<R::Tx>) -> Result<(), ReadError> {
        let gathered: Gathered = cx.take_batch();
        self.read.add_revenue(cx.tx(), gathered.into_iter().collect()).await
    }
}
