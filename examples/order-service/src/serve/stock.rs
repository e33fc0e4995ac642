//! What is asked of stock, and what is answered.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use factum::{EventStore, Loaded, Repository};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::{Asked, Part, etag};
use super::values::{Name, Quantity};
use crate::domain::{Product, Receive, Stock};

/// What is needed to answer.
#[derive(Clone)]
pub(super) struct StockRoom {
    pub(super) stock: Repository<Stock>,
    pub(super) store: Arc<dyn EventStore>,
}

pub(super) fn routes(room: StockRoom) -> Router {
    Router::new()
        .route("/stock/{product}", get(one))
        .route("/stock/{product}/receipts", post(receive))
        .with_state(room)
}

/// The stock of a product as it is answered.
#[derive(Serialize)]
struct StockAnswer<'s> {
    product: &'s Product,
    version: u64,
    /// Of its last event: what a reader of the projections may wait for.
    position: u64,
    available: u64,
    reserved: u64,
    consumed: u64,
}

fn answer(product: &Product, stock: &Loaded<Stock>) -> Response {
    let answer = StockAnswer {
        product,
        version: stock.version().0,
        position: stock.position().0,
        available: stock.available(),
        reserved: stock.reserved(),
        consumed: stock.consumed(),
    };
    (etag(stock.version()), Json(answer)).into_response()
}

async fn one(State(room): State<StockRoom>, Part(product): Part<String>) -> Result<Response, Problem> {
    let product = Product(product);
    let stock = room.stock.load(&product).await?;
    Ok(answer(&product, &stock))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    quantity: Quantity,
}

async fn receive(
    State(room): State<StockRoom>,
    Part(product): Part<String>,
    asked: Asked<Receipt>,
) -> Result<Response, Problem> {
    // Nobody could order what has another name than orders may have.
    let Name(product) = Name::try_from(product).map_err(Problem::unknown)?;
    let product = Product(product);
    let stream = Repository::<Stock>::stream(&product);
    let command = room.stock.execute(&product, Receive { quantity: asked.body.quantity.0 });
    let stock = asked.terms.execute(&*room.store, stream, command).await?;
    Ok(answer(&product, &stock))
}
