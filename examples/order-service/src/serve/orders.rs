//! What is asked of orders, and what is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use factum::{Codec, Event, EventStore, Handle, Loaded, Repository, Version};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::{Asked, Part, Search, Terms, etag};
use super::values::{Amount, Email, Name, Quantity, Words};
use crate::domain::{
    Cancel, Cents, Customer, CustomerId, Line, Order, OrderError, OrderId, Pay, Place, PlaceForDelivery,
    Product, Register, Ship, Status,
};

/// How many lines an order has at most.
const LINES_MAX: usize = 100;

/// How many events are in one answer, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// What is needed to answer.
#[derive(Clone)]
pub(super) struct OrderDesk {
    pub(super) orders: Repository<Order>,
    pub(super) customers: Repository<Customer>,
    pub(super) store: Arc<dyn EventStore>,
    /// How long a customer may take to pay.
    pub(super) pay_within: Duration,
}

pub(super) fn routes(desk: OrderDesk) -> Router {
    Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}", get(one))
        .route("/orders/{id}/history", get(history))
        .route("/orders/{id}/payment", post(pay))
        .route("/orders/{id}/shipment", post(ship))
        .route("/orders/{id}/cancellation", post(cancel))
        .with_state(desk)
}

/// An order as it is answered.
#[derive(Serialize)]
struct OrderAnswer<'o> {
    id: &'o OrderId,
    version: u64,
    /// Of its last event: what a reader of the projections may wait for.
    position: u64,
    status: Status,
    customer: Option<&'o CustomerId>,
    lines: Vec<LineAnswer<'o>>,
    total_cents: Cents,
    paid_cents: Cents,
    /// Whether everything in it is reserved; missing if the shop is not to deliver it.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_reserved: Option<bool>,
}

#[derive(Serialize)]
struct LineAnswer<'o> {
    product: &'o Product,
    quantity: u32,
    cents: Cents,
}

impl<'o> From<&'o Line> for LineAnswer<'o> {
    fn from(Line { product, quantity, total }: &'o Line) -> Self {
        Self { product, quantity: *quantity, cents: *total }
    }
}

fn answer(id: &OrderId, order: &Loaded<Order>) -> Response {
    let answer = OrderAnswer {
        id,
        version: order.version().0,
        position: order.position().0,
        status: order.status(),
        customer: order.customer(),
        lines: order.lines().iter().map(LineAnswer::from).collect(),
        total_cents: order.total(),
        paid_cents: order.paid(),
        is_reserved: order.delivery().map(|delivery| delivery.is_reserved),
    };
    (etag(order.version()), Json(answer)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    customer: Name,
    email: Email,
    lines: Vec<NewLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLine {
    product: Name,
    quantity: Quantity,
    /// For all of them together.
    cents: Amount,
}

impl From<NewLine> for Line {
    fn from(NewLine { product, quantity, cents }: NewLine) -> Self {
        Self { product: Product(product.0), quantity: quantity.0, total: Cents(cents.0) }
    }
}

async fn place(State(desk): State<OrderDesk>, asked: Asked<NewOrder>) -> Result<Response, Problem> {
    let Asked { body: NewOrder { customer, email, lines }, terms } = asked;
    if terms.expected.is_some() {
        return Err(Problem::stale("an order that is not placed yet has no version"));
    }
    // Before anything is recorded, the customer too.
    if !(1..=LINES_MAX).contains(&lines.len()) {
        let detail = format!("an order has from 1 to {LINES_MAX} lines");
        return Err(Problem::invalid(Some("lines".into()), detail));
    }
    let id = OrderId(terms.new_id().to_string());
    let customer = CustomerId(customer.0);
    // Whoever orders is a customer from now on. Nothing happens if they are one.
    let register = Register { customer: customer.clone() };
    let registered = desk.customers.execute(&customer, register).await;
    registered.map_err(|error| Problem::of_command(error, false))?;
    let place = Place { customer, lines: lines.into_iter().map(Line::from).collect() };
    let pay_within_ms = u64::try_from(desk.pay_within.as_millis()).unwrap_or(u64::MAX);
    let command = PlaceForDelivery { place, email: email.0, pay_within_ms };
    let order = desk.execute(&id, command, &terms).await?;
    let location = [(header::LOCATION, format!("/orders/{id}"))];
    Ok((StatusCode::CREATED, location, answer(&id, &order)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    cents: Amount,
}

async fn pay(
    State(desk): State<OrderDesk>,
    Part(id): Part<String>,
    asked: Asked<Payment>,
) -> Result<Response, Problem> {
    let command = Pay { amount: Cents(asked.body.cents.0) };
    desk.answer_command(OrderId(id), command, &asked.terms).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shipment {
    parcel: Name,
}

async fn ship(
    State(desk): State<OrderDesk>,
    Part(id): Part<String>,
    asked: Asked<Shipment>,
) -> Result<Response, Problem> {
    let command = Ship { parcel: asked.body.parcel.0 };
    desk.answer_command(OrderId(id), command, &asked.terms).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    reason: Words,
}

async fn cancel(
    State(desk): State<OrderDesk>,
    Part(id): Part<String>,
    asked: Asked<Cancellation>,
) -> Result<Response, Problem> {
    let command = Cancel { reason: asked.body.reason.0 };
    desk.answer_command(OrderId(id), command, &asked.terms).await
}

impl OrderDesk {
    async fn answer_command<C>(&self, id: OrderId, command: C, terms: &Terms) -> Result<Response, Problem>
    where
        Order: Handle<C, Error = OrderError>,
        C: Send + Sync,
    {
        let order = self.execute(&id, command, terms).await?;
        Ok(answer(&id, &order))
    }

    async fn execute<C>(&self, id: &OrderId, command: C, terms: &Terms) -> Result<Loaded<Order>, Problem>
    where
        Order: Handle<C, Error = OrderError>,
        C: Send + Sync,
    {
        let stream = Repository::<Order>::stream(id);
        terms.execute(&*self.store, stream, self.orders.execute(id, command)).await
    }
}

async fn one(State(desk): State<OrderDesk>, Part(id): Part<String>) -> Result<Response, Problem> {
    let id = OrderId(id);
    let order = desk.orders.load(&id).await?;
    Ok(answer(&id, &order))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    /// Only events after this version.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// A part of what has happened to an order.
#[derive(Serialize)]
struct HistoryAnswer {
    events: Vec<EventAnswer>,
    /// What to ask for next, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct EventAnswer {
    version: u64,
    position: u64,
    name: &'static str,
    recorded_at: DateTime<Utc>,
    occurred_at: DateTime<Utc>,
    event: serde_json::Value,
}

async fn history(
    State(desk): State<OrderDesk>,
    Part(id): Part<String>,
    Search(Pages { after, limit }): Search<Pages>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let id = OrderId(id);
    let events = desk.orders.events(&id, Version(after), limit).await?;
    if events.is_empty() {
        // It may have come to an end, or never have begun.
        desk.orders.load(&id).await?;
    }
    let next = (events.len() == limit).then(|| events.last()).flatten();
    let next = next.map(|last| format!("/orders/{id}/history?after={}&limit={limit}", last.version));
    let events = events.iter().map(|envelope| {
        let json = envelope.event.encode(Codec::Json).map_err(|error| Problem::internal(&*error))?;
        Ok(EventAnswer {
            version: envelope.version.0,
            position: envelope.position.0,
            name: envelope.event.event_type().name(),
            recorded_at: envelope.recorded_at,
            occurred_at: envelope.occurred_at(),
            event: serde_json::from_slice(&json).map_err(|error| Problem::internal(&error))?,
        })
    });
    Ok(Json(HistoryAnswer { events: events.collect::<Result<_, Problem>>()?, next }))
}
