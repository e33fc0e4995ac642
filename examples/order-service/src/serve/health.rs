//! How the subscriptions are: for people, and for whoever restarts what is ill.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use factum::{Health, StoreError, Subscription};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::text::chain;

/// Where another process does the work, it is taken for well unless it is further behind than that.
const BEHIND_MAX: Duration = Duration::from_secs(30);

/// A subscription whose health is asked for, whatever it works in.
pub(super) struct Watched {
    name: String,
    ask: Box<dyn Fn() -> BoxFuture<'static, Result<Health, StoreError>> + Send + Sync>,
    task: AbortHandle,
}

impl Watched {
    /// The subscription that `task` runs.
    pub(super) fn new<Cx: Send + 'static>(subscription: &Subscription<Cx>, task: AbortHandle) -> Self {
        let name = subscription.name().to_owned();
        let subscription = subscription.clone();
        let ask = move || -> BoxFuture<'static, _> {
            let subscription = subscription.clone();
            Box::pin(async move { subscription.health().await })
        };
        Self { name, ask: Box::new(ask), task }
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    async fn answer(&self) -> SubscriptionAnswer {
        match (self.ask)().await {
            Ok(health) => SubscriptionAnswer::new(health, !self.task.is_finished()),
            Err(error) => SubscriptionAnswer::unknown(self.name(), &error),
        }
    }
}

pub(super) fn routes(watched: Vec<Watched>) -> Router {
    Router::new().route("/health", get(health)).with_state(Arc::new(watched))
}

#[derive(Serialize)]
struct HealthAnswer {
    is_well: bool,
    subscriptions: Vec<SubscriptionAnswer>,
}

#[derive(Serialize)]
struct SubscriptionAnswer {
    name: String,
    is_well: bool,
    /// How far it has come. Missing if the store does not say.
    #[serde(flatten)]
    progress: Option<Progress>,
    /// What is in its way.
    trouble: Vec<Trouble>,
    /// Why it stopped by itself, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Trouble>,
}

#[derive(Serialize)]
struct Progress {
    position: u64,
    head: u64,
    behind: u64,
    behind_seconds: f64,
    /// Events a second, handled by this process.
    rate: f64,
    dead_letters: u64,
    /// Of how many partitions this process has the work; others have it of the rest.
    partitions_here: usize,
}

#[derive(Serialize)]
struct Trouble {
    since: DateTime<Utc>,
    what: String,
}

impl From<(DateTime<Utc>, String)> for Trouble {
    fn from((since, what): (DateTime<Utc>, String)) -> Self {
        Self { since, what }
    }
}

impl SubscriptionAnswer {
    fn new(health: Health, is_running: bool) -> Self {
        let here: Vec<_> = health.partitions.iter().filter(|partition| partition.is_running).collect();
        let trouble: Vec<_> =
            here.iter().filter_map(|part| part.trouble.clone()).map(Trouble::from).collect();
        // One that stands by is as well as whoever does the work.
        let is_working = !here.is_empty() || health.behind_for <= BEHIND_MAX;
        Self {
            name: health.subscription,
            is_well: is_running && health.ended.is_none() && trouble.is_empty() && is_working,
            progress: Some(Progress {
                position: health.position.0,
                head: health.head.0,
                behind: health.behind,
                behind_seconds: health.behind_for.as_secs_f64(),
                rate: health.rate,
                dead_letters: health.dead_letters,
                partitions_here: here.len(),
            }),
            trouble,
            ended: health.ended.map(Trouble::from),
        }
    }

    /// Of one that the store does not tell about.
    fn unknown(name: String, error: &StoreError) -> Self {
        let trouble = vec![Trouble { since: Utc::now(), what: chain(error) }];
        Self { name, is_well: false, progress: None, trouble, ended: None }
    }
}

async fn health(State(watched): State<Arc<Vec<Watched>>>) -> Response {
    let subscriptions = join_all(watched.iter().map(Watched::answer)).await;
    let is_well = subscriptions.iter().all(|subscription| subscription.is_well);
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(HealthAnswer { is_well, subscriptions })).into_response()
}
