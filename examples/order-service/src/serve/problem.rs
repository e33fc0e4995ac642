//! What is answered when something is wrong: `application/problem+json`, as RFC 9457 has it.

use std::convert::Infallible;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use factum::{
    Conflict, ExecuteError, Invalid, LoadError, NotReached, StoreError, StoreErrorKind, StreamClosed,
};
use serde::Serialize;

use crate::domain::{OrderError, PromiseError, StockError};
use crate::read::ReadError;
use crate::text::chain;

/// After so many seconds, what is ill for a while may be well again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request had no effect, and what its sender can do about that.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// Which kind of problem, for programs: it never changes.
    #[serde(rename = "type")]
    kind: String,
    /// Which kind of problem, for people.
    title: &'static str,
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// Which part of the body is at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, slug: &str, title: &'static str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:order-service:{slug}");
        Self { kind, title, status: status.as_u16(), detail: detail.into(), field: None }
    }

    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", "There is no such thing", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "what is at this path does not know the method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "That cannot be done here", detail)
    }

    pub(super) fn malformed(what: &str, detail: impl Into<String>) -> Self {
        let detail = format!("{what}: {}", detail.into());
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood", detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    pub(super) fn not_json() -> Self {
        let detail = "the body is to be sent as Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail)
    }

    pub(super) fn invalid(field: Option<String>, detail: impl Into<String>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { field, ..Self::new(status, "invalid", "The body is not what is expected here", detail) }
    }

    pub(super) fn key_reused() -> Self {
        let detail = "the Idempotency-Key was sent before, with another body";
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "key-reused",
            "The key belongs to another request",
            detail,
        )
    }

    /// The `If-Match` header names a version that is not the present one.
    pub(super) fn stale(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "stale", "It has changed meanwhile", detail)
    }

    fn rejected(slug: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, slug, "The shop says no", detail)
    }

    fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail)
    }

    /// What nobody outside can do anything about. They are told nothing of it, and the log is told all.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "a request has failed");
        let (status, detail) = (StatusCode::INTERNAL_SERVER_ERROR, "the reason is in the log");
        Self::new(status, "internal", "Something is wrong here", detail)
    }

    /// A conflict where the sender has named the version: then that is stale.
    pub(super) fn conflict(conflict: &Conflict, is_expected: bool) -> Self {
        match (conflict.actual, is_expected) {
            (None, true) => Self::unknown(format!("{} does not exist", conflict.stream)),
            (Some(actual), true) => Self::stale(format!(
                "{} is at version {actual}, not at {}",
                conflict.stream, conflict.expected
            )),
            (_, false) => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "Others were faster",
                format!("{} was changed by others again and again: try again", conflict.stream),
            ),
        }
    }

    /// Why a command had no effect. Whether its sender has named the version is for a conflict to say.
    pub(super) fn of_command<E>(error: ExecuteError<E>, is_expected: bool) -> Self
    where
        E: Into<Self> + std::error::Error + 'static,
    {
        match error {
            ExecuteError::Rejected(error) => error.into(),
            ExecuteError::Conflict(conflict) => Self::conflict(&conflict, is_expected),
            ExecuteError::Overtaken(_) => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "Others were faster",
                "what it depends on was changed by others again and again: try again",
            ),
            ExecuteError::IdReused(error) => {
                tracing::warn!(%error, "an idempotency key was used for two things");
                Self::key_reused()
            }
            ExecuteError::Invalid(error) => error.into(),
            ExecuteError::Closed(error) => error.into(),
            ExecuteError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("texts and numbers always have a JSON form");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }
}

/// Of commands that are never refused.
impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let detail = error.to_string();
        match error {
            OrderError::NeverPlaced => Self::unknown(detail),
            OrderError::NothingOrdered => Self::invalid(Some("lines".into()), detail),
            OrderError::Already(_) => Self::rejected("already", detail),
            OrderError::NotPaid => Self::rejected("not-paid", detail),
            OrderError::NotReserved => Self::rejected("not-reserved", detail),
            OrderError::NotForDelivery => Self::rejected("not-for-delivery", detail),
            OrderError::WrongAmount { .. } => Self::rejected("wrong-amount", detail),
        }
    }
}

impl From<StockError> for Problem {
    fn from(error: StockError) -> Self {
        let detail = error.to_string();
        match error {
            StockError::NothingReceived => Self::invalid(Some("quantity".into()), detail),
            StockError::Missing { .. } => Self::rejected("missing", detail),
        }
    }
}

impl From<PromiseError> for Problem {
    fn from(error: PromiseError) -> Self {
        let detail = error.to_string();
        match error {
            PromiseError::NothingPromised => Self::invalid(Some("quantity".into()), detail),
            PromiseError::Already { .. } => Self::rejected("already", detail),
            PromiseError::Missing { .. } => Self::rejected("missing", detail),
            PromiseError::Promised { .. } => Self::rejected("promised", detail),
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotFound { .. } | LoadError::NoSuchVersion { .. } | LoadError::Invalid(_) => {
                Self::unknown(error.to_string())
            }
            LoadError::Closed(error) => error.into(),
            LoadError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<Invalid> for Problem {
    fn from(error: Invalid) -> Self {
        match error {
            Invalid::Name(error) => Self::unknown(error.to_string()),
            Invalid::PayloadTooLarge { .. } => Self::too_large(error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<StreamClosed> for Problem {
    fn from(error: StreamClosed) -> Self {
        Self::new(StatusCode::GONE, "gone", "It is no longer kept", error.to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_transient() || *error.kind() == StoreErrorKind::Closed {
            tracing::warn!(error = chain(&error), "a request has met an ill store");
            return Self::unavailable("the store cannot answer now");
        }
        Self::internal(&error)
    }
}

impl From<NotReached> for Problem {
    fn from(error: NotReached) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match &error {
            // The store's own errors say whether they pass; of the read model's database only these certainly do.
            ReadError::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)) => {
                tracing::warn!(error = chain(&error), "a request has met an ill database");
                Self::unavailable("the database cannot answer now")
            }
            _ => Self::internal(&error),
        }
    }
}
