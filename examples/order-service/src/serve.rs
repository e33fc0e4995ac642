//! The shop as a service: HTTP in front, subscriptions behind, until it is told to stop.
//!
//! | file | what it is |
//! |---|---|
//! | `orders` | what is asked of orders, and what is answered |
//! | `stock` | the same for stock |
//! | `promises` | the same for what is promised before it is there |
//! | `sales` | what the projections say, once they have come as far as the reader wants |
//! | `health` | how the subscriptions are |
//! | `dead_letters` | events that could not be handled: listed, tried again, given up |
//! | `request` | the body and the headers of a command |
//! | `values` | what a body may consist of |
//! | `problem` | what is answered when something is wrong |

mod dead_letters;
mod health;
mod orders;
mod problem;
mod promises;
mod request;
mod sales;
mod stock;
mod values;

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use factum::{BoxError, Decisions, EventStore, Subscription, Timers, Transactional};
use lettre::message::Mailbox;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::health::Watched;
use self::problem::Problem;
use crate::mails::Post;
use crate::read::{ReadModel, SpendInUse};
use crate::shop::Shop;

/// The longest body that is read, in bytes: an order of a hundred lines has room.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long requests that are under way may go on after the service was told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// How the service is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a customer may take to pay.
    pub pay_within: Duration,
    /// Who takes the mails.
    pub post: Post,
    /// Who they are from.
    pub sender: Mailbox,
}

/// Answers requests and runs the subscriptions until `stop` is ready. Then no more requests are taken, those that are under way
/// are finished, and then the events at hand. Closing the store is left to the caller.
///
/// A subscription that stops by itself is logged, and `/health` says so; everything else goes on.
///
/// # Errors
///
/// If no connections can be accepted.
///
/// # Cancel safety
///
/// Dropping the future ends requests, but not the subscriptions; `stop` is the way.
pub async fn serve<S, R>(
    shop: Shop<S, R>,
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()>
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let Options { pay_within, post, sender } = options;
    let (stop_working, told) = watch::channel(false);
    let stopped = || is_set(told.clone());

    let (spend, revenue) = (shop.spend(), shop.revenue());
    let (fulfilment, mails) = (shop.fulfilment(), shop.mails(post, sender));
    let running = |name: &'static str, work| tokio::spawn(log_end(name, work));
    let tasks = [
        running("spend-per-customer@2", build_and_run(&shop, spend.clone(), stopped())),
        running("revenue-per-month", run(revenue.clone(), stopped())),
        running("mails", run(mails.clone(), stopped())),
        running("fulfilment", {
            let (fulfilment, stopped) = (fulfilment.clone(), stopped());
            Box::pin(async move { Ok(fulfilment.run_until(stopped).await?) })
        }),
    ];
    let [of_spend, of_revenue, of_mails, of_fulfilment] = tasks.each_ref().map(JoinHandle::abort_handle);
    let mut watched = vec![
        Watched::new(&spend, of_spend),
        Watched::new(&revenue, of_revenue),
        Watched::new(&mails, of_mails),
    ];
    watched.extend(fulfilment.subscriptions().map(|part| Watched::new(part, of_fulfilment.clone())));
    let names = watched.iter().map(Watched::name).collect();

    let app = Router::new()
        .merge(orders::routes(orders::OrderDesk {
            orders: shop.orders.clone(),
            customers: shop.customers.clone(),
            store: Arc::new(shop.store.clone()),
            pay_within,
        }))
        .merge(stock::routes(stock::StockRoom {
            stock: shop.stock.clone(),
            store: Arc::new(shop.store.clone()),
        }))
        .merge(promises::routes(promises::PromiseBook {
            decisions: Decisions::new(shop.store.clone()),
            store: Arc::new(shop.store.clone()),
        }))
        .merge(sales::routes(sales::Sales { read: shop.read.clone(), spend, revenue }))
        .merge(dead_letters::routes(dead_letters::DeadLetterBox {
            store: Arc::new(shop.store.clone()),
            names,
        }))
        .merge(health::routes(watched))
        .fallback(async || Problem::unknown("there is nothing at this path"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));

    let outcome = answer(listener, app, stop).await;
    stop_working.send_replace(true);
    for task in tasks {
        if let Err(panicked) = task.await {
            tracing::error!(%panicked, "a subscription has panicked");
        }
    }
    outcome
}

/// Answers requests until `stop` is ready and those under way are finished, which they have some time for.
async fn answer(listener: TcpListener, app: Router, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
    let (stop_accepting, told) = watch::channel(false);
    let serving = axum::serve(listener, app).with_graceful_shutdown(is_set(told)).into_future();
    let mut serving = pin!(serving);
    tokio::select! {
        outcome = &mut serving => return outcome,
        () = stop => {}
    }
    tracing::info!("no more requests are taken");
    stop_accepting.send_replace(true);
    let Ok(outcome) = tokio::time::timeout(FINISH_WITHIN, serving).await else {
        tracing::warn!("requests were not finished in time and are cut off");
        return Ok(());
    };
    outcome
}

/// What runs until it is stopped.
type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

fn run<Cx: Send + 'static>(
    subscription: Subscription<Cx>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Work {
    Box::pin(async move { Ok(subscription.run_until(stopped).await.map(drop)?) })
}

/// Brings the spend of customers up to the version of this program first. Until then readers have the older one.
fn build_and_run<S, R>(
    shop: &Shop<S, R>,
    spend: Subscription<R::Tx>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Work
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let (rebuild, in_use) = (shop.rebuild(), SpendInUse(shop.read.clone()));
    Box::pin(async move {
        let mut stopped = pin!(stopped);
        tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            built = rebuild.run(&in_use) => built?,
        };
        Ok(spend.run_until(stopped).await.map(drop)?)
    })
}

async fn log_end(name: &'static str, work: Work) {
    match work.await {
        Ok(()) => tracing::info!(subscription = name, "stopped"),
        Err(error) => {
            let error = crate::text::chain(&*error);
            tracing::error!(subscription = name, error, "the subscription has stopped by itself");
        }
    }
}

async fn is_set(mut told: watch::Receiver<bool>) {
    // Whoever could tell is gone only when it is over.
    let _ = told.wait_for(|told| *told).await;
}
