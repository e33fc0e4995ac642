//! What is asked of promises, and what is answered.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use factum::{Decisions, EventStore};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::{Asked, Part};
use super::values::{Name, Quantity};
use crate::domain::{Announce, GivePromise, OrderId, Product, Promises, WithdrawPromise};

/// How often a promise is decided when others are faster. Each time one of them was promised something, so whoever comes late to
/// the last units is soon told that there are none; and a customer does not care who else has asked.
const ATTEMPTS: u32 = 30;

/// What is needed to answer.
#[derive(Clone)]
pub(super) struct PromiseBook {
    pub(super) decisions: Decisions,
    pub(super) store: Arc<dyn EventStore>,
}

pub(super) fn routes(book: PromiseBook) -> Router {
    Router::new()
        .route("/stock/{product}/announcement", put(announce))
        .route("/stock/{product}/promises", get(all).post(give))
        .route("/stock/{product}/promises/{order}", delete(withdraw))
        .with_state(book)
}

/// The promises of a product as they are answered.
#[derive(Serialize)]
struct PromisesAnswer<'p> {
    product: &'p Product,
    announced: u32,
    promised: u64,
    available: u64,
}

impl PromiseBook {
    async fn answer(&self, product: &Product) -> Result<Response, Problem> {
        let promises: Promises = self
            .decisions
            .look(&Promises::of(product))
            .await
            .map_err(|error| Problem::of_command(error, false))?;
        let answer = PromisesAnswer {
            product,
            announced: promises.announced(),
            promised: promises.promised(),
            available: promises.available(),
        };
        Ok(Json(answer).into_response())
    }
}

/// Nothing has another name than orders may have for it.
fn product(text: String) -> Result<Product, Problem> {
    let Name(product) = Name::try_from(text).map_err(Problem::unknown)?;
    Ok(Product(product))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    quantity: Quantity,
}

async fn announce(
    State(book): State<PromiseBook>,
    Part(text): Part<String>,
    asked: Asked<Announcement>,
) -> Result<Response, Problem> {
    let product = product(text)?;
    let decision = Announce { product: product.clone(), units: asked.body.quantity.0 };
    asked.terms.decide(&*book.store, book.decisions.execute(decision)).await?;
    book.answer(&product).await
}

async fn all(State(book): State<PromiseBook>, Part(text): Part<String>) -> Result<Response, Problem> {
    book.answer(&product(text)?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    order: Name,
    quantity: Quantity,
}

async fn give(
    State(book): State<PromiseBook>,
    Part(text): Part<String>,
    asked: Asked<Wanted>,
) -> Result<Response, Problem> {
    let product = product(text)?;
    let Wanted { order: Name(order), quantity } = asked.body;
    let decision = GivePromise { product: product.clone(), order: OrderId(order), units: quantity.0 };
    asked.terms.decide(&*book.store, book.decisions.execute(decision).attempts(ATTEMPTS)).await?;
    book.answer(&product).await
}

async fn withdraw(
    State(book): State<PromiseBook>,
    Part((text, order)): Part<(String, String)>,
) -> Result<Response, Problem> {
    let product = product(text)?;
    let Name(order) = Name::try_from(order).map_err(Problem::unknown)?;
    let decision = WithdrawPromise { product: product.clone(), order: OrderId(order) };
    book.decisions
        .execute(decision)
        .attempts(ATTEMPTS)
        .await
        .map_err(|error| Problem::of_command(error, false))?;
    book.answer(&product).await
}
