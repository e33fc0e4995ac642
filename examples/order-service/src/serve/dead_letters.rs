//! Events that a subscription could not handle: listed, tried again, given up.
//!
//! Some names of subscriptions have a slash in them, which an address writes as `%2F`: `/dead-letters/fulfilment%2Fcommands`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use factum::{DeadLetter, DeadLetters, Position, ReadDeadLetters};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::request::{Part, Search};

/// How many are in one answer, unless asked for otherwise, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// What is needed to answer.
#[derive(Clone)]
pub(super) struct DeadLetterBox {
    pub(super) store: Arc<dyn DeadLetters>,
    /// The subscriptions there are.
    pub(super) names: Arc<[String]>,
}

impl DeadLetterBox {
    fn check(&self, subscription: &str) -> Result<(), Problem> {
        if self.names.iter().any(|name| name == subscription) {
            return Ok(());
        }
        Err(Problem::unknown(format!("no subscription is named {subscription:?}")))
    }
}

pub(super) fn routes(letters: DeadLetterBox) -> Router {
    Router::new()
        .route("/dead-letters/{subscription}", get(list))
        .route("/dead-letters/{subscription}/{position}", delete(give_up))
        .route("/dead-letters/{subscription}/{position}/retry", post(retry))
        .with_state(letters)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    /// Only those after this position.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct LettersAnswer {
    letters: Vec<LetterAnswer>,
    /// The position to ask for those after, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize)]
struct LetterAnswer {
    position: u64,
    stream: String,
    version: u64,
    event: String,
    attempts: u32,
    /// What was said, and the reasons of that; empty for one that only waits behind another.
    errors: Vec<String>,
    parked_at: DateTime<Utc>,
    /// Whether it is about to be tried again.
    is_due: bool,
}

impl From<DeadLetter> for LetterAnswer {
    fn from(DeadLetter { letter, parked_at, is_due, .. }: DeadLetter) -> Self {
        Self {
            position: letter.event.position.0,
            stream: letter.event.stream.to_string(),
            version: letter.event.version.0,
            event: letter.event.name.to_string(),
            attempts: letter.attempts,
            errors: letter.failure.map(|failure| failure.errors).unwrap_or_default(),
            parked_at,
            is_due,
        }
    }
}

async fn list(
    State(letters): State<DeadLetterBox>,
    Part(subscription): Part<String>,
    Search(Pages { after, limit }): Search<Pages>,
) -> Result<Json<LettersAnswer>, Problem> {
    letters.check(&subscription)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let read = ReadDeadLetters::of(subscription).after(Position(after)).limit(limit);
    let letters = letters.store.dead_letters(read).await?;
    let next = (letters.len() == limit).then(|| letters.last()).flatten();
    let next = next.map(|last| last.letter.event.position.0);
    Ok(Json(LettersAnswer { letters: letters.into_iter().map(LetterAnswer::from).collect(), next }))
}

/// Whoever runs the subscription finds it within a second.
async fn retry(
    State(letters): State<DeadLetterBox>,
    Part((subscription, position)): Part<(String, u64)>,
) -> Result<StatusCode, Problem> {
    letters.check(&subscription)?;
    if letters.store.retry_dead_letter(&subscription, Position(position)).await? {
        return Ok(StatusCode::ACCEPTED);
    }
    Err(no_letter(position))
}

async fn give_up(
    State(letters): State<DeadLetterBox>,
    Part((subscription, position)): Part<(String, u64)>,
) -> Result<StatusCode, Problem> {
    letters.check(&subscription)?;
    if letters.store.drop_dead_letter(&subscription, Position(position)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_letter(position))
}

fn no_letter(position: u64) -> Problem {
    Problem::unknown(format!("there is no dead letter at position {position}"))
}
