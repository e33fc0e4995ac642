//! Generated code is not the user's to lint. (What clippy says is checked where clippy runs, in `tests/derive.rs`.)
#![deny(
    missing_docs,
    unused,
    warnings,
    future_incompatible,
    let_underscore,
    nonstandard_style,
    refining_impl_trait,
    rust_2018_idioms,
    deprecated,
    elided_lifetimes_in_paths,
    missing_debug_implementations,
    non_local_definitions,
    private_bounds,
    private_interfaces,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unreachable_pub,
    unsafe_code,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]

use factum::*;
use serde::{Deserialize, Serialize};

/// An event.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "order.placed", version = 3, upcast(from = 1, with = same), upcast(from = 2, with = same))]
pub(crate) struct OrderPlaced;

/// An event that is not written any more.
#[deprecated]
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "order.sent")]
pub(crate) struct OrderSent;

/// What is left of it, and of one that is older.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "order.left", version = 2, upcast(from = 1, typed = left), split(from = OrderGone, with = gone))]
pub(crate) struct OrderLeft;

/// What it was.
#[derive(Deserialize, Debug)]
pub(crate) struct OrderLeftV1;

fn left(_: OrderLeftV1) -> OrderLeft {
    OrderLeft
}

/// An event of long ago.
#[deprecated]
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "order.gone", version = 3, upcast(from = 1, typed = gone_v1), upcast(from = 2, with = same))]
pub(crate) struct OrderGone;

#[allow(deprecated)]
fn gone(_: OrderGone) -> Option<OrderLeft> {
    None
}

fn gone_v1(_: OrderLeftV1) -> Result<u8, String> {
    Ok(1)
}

/// An event of something.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "order.paid")]
pub(crate) struct Paid<T>(T);

/// Everything that can happen.
#[derive(Event, Debug)]
#[event(dropped("order.viewed"))]
pub(crate) enum OrderEvent {
    /// It left.
    Left(OrderLeft),
    /// It was placed.
    Placed(OrderPlaced),
    /// It was sent.
    #[deprecated]
    #[allow(deprecated)]
    Sent(OrderSent),
    /// It was paid.
    Paid(Paid<u64>),
}

/// Everything that can happen to something.
#[derive(Event, Debug)]
pub(crate) enum AnyEvent<T> {
    /// It was paid.
    Paid(Paid<T>),
}

/// An order.
#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
pub(crate) struct Order;

impl<E> Apply<E> for Order {
    fn apply(&mut self, _: E) {}
}

/// A handler.
#[derive(EventHandler, Debug)]
#[handler(name = "mails", error = std::io::Error, on(OrderPlaced), on(Paid<u64>, priority = -1), flush)]
pub(crate) struct Mails;

impl On<OrderPlaced> for Mails {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

impl On<Paid<u64>> for Mails {
    async fn on(&self, _: &Envelope<Paid<u64>>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

impl Flush for Mails {
    async fn flush(&self, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {
    Order.apply(OrderEvent::Placed(OrderPlaced));
    Order.apply(AnyEvent::Paid(Paid(1)));
    drop(Dispatcher::new().handler(Mails));
}
