//! What the projections say. A reader who has written waits until they have come as far: `?after=` with the position that the
//! answer to the command had.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::NaiveDate;
use factum::{Position, Subscription};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::Search;
use crate::domain::{Cents, CustomerId};
use crate::read::{ReadModel, Spend};

/// How long a reader waits for a projection.
const WAIT: Duration = Duration::from_secs(5);

/// How many customers are in one answer, unless asked for otherwise, and at most.
const PAGE: u32 = 10;
const PAGE_MAX: u32 = 1000;

/// What is needed to answer.
pub(super) struct Sales<R: ReadModel> {
    pub(super) read: R,
    pub(super) spend: Subscription<R::Tx>,
    pub(super) revenue: Subscription<R::Tx>,
}

impl<R: ReadModel> Clone for Sales<R> {
    fn clone(&self) -> Self {
        Self { read: self.read.clone(), spend: self.spend.clone(), revenue: self.revenue.clone() }
    }
}

pub(super) fn routes<R: ReadModel>(sales: Sales<R>) -> Router {
    Router::new()
        .route("/customers", get(customers::<R>))
        .route("/revenue", get(revenue::<R>))
        .with_state(sales)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerSearch {
    after: Option<u64>,
    limit: Option<u32>,
}

/// The customers who have spent most, the best first.
#[derive(Serialize)]
struct CustomersAnswer {
    /// How many there are in all.
    count: u64,
    orders: i64,
    spent_cents: Cents,
    customers: Vec<CustomerAnswer>,
}

#[derive(Serialize)]
struct CustomerAnswer {
    customer: CustomerId,
    orders: i64,
    quantity: i64,
    spent_cents: Cents,
    last_order: Option<NaiveDate>,
}

async fn customers<R: ReadModel>(
    State(sales): State<Sales<R>>,
    Search(CustomerSearch { after, limit }): Search<CustomerSearch>,
) -> Result<Json<CustomersAnswer>, Problem> {
    wait_for(&sales.spend, after).await?;
    let (count, Spend { orders, spent, .. }) = sales.read.totals().await?;
    let best = sales.read.best_customers(limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)).await?;
    let customers = best.into_iter().map(|(customer, Spend { orders, cds, spent, last_order })| {
        CustomerAnswer { customer, orders, quantity: cds, spent_cents: spent, last_order }
    });
    Ok(Json(CustomersAnswer { count, orders, spent_cents: spent, customers: customers.collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevenueSearch {
    after: Option<u64>,
}

/// What each month has brought, in their order.
#[derive(Serialize)]
struct RevenueAnswer {
    months: Vec<MonthAnswer>,
}

#[derive(Serialize)]
struct MonthAnswer {
    month: String,
    revenue_cents: Cents,
}

async fn revenue<R: ReadModel>(
    State(sales): State<Sales<R>>,
    Search(RevenueSearch { after }): Search<RevenueSearch>,
) -> Result<Json<RevenueAnswer>, Problem> {
    wait_for(&sales.revenue, after).await?;
    let months = sales.read.revenue_per_month().await?;
    let months =
        months.into_iter().map(|(month, revenue)| MonthAnswer { month: month.0, revenue_cents: revenue });
    Ok(Json(RevenueAnswer { months: months.collect() }))
}

/// Waits until a projection has come to a position, whichever process it runs in.
async fn wait_for<Cx: Send + 'static>(
    projection: &Subscription<Cx>,
    after: Option<u64>,
) -> Result<(), Problem> {
    if let Some(position) = after {
        projection.reached(Position(position), WAIT).await?;
    }
    Ok(())
}
