//! What a command's request says: its body, the version it expects, and the key by which it is known again.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use factum::{
    Aggregate, CommandId, Decide, Decision, EventStore, Execute, Handle, Loaded, StreamId, Version,
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::Problem;

/// By which a request is known again: <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header>.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The field of the events' metadata that tells the body of the request apart from others with the same key.
const BODY: &str = "body";

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A request that asks for a command, with its body.
#[derive(Debug)]
pub(super) struct Asked<T> {
    /// The body.
    pub(super) body: T,
    /// How it is to be executed.
    pub(super) terms: Terms,
}

/// How a command is to be executed.
#[derive(Debug)]
pub(super) struct Terms {
    /// Only if the aggregate is at this version.
    pub(super) expected: Option<Version>,
    /// Only if it was not before.
    key: Option<Key>,
}

/// A key, of this path and method: others may use the same.
#[derive(Debug)]
struct Key {
    command: CommandId,
    /// What stands for the body.
    body: String,
}

impl Terms {
    fn read(method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let key = one(headers, &IDEMPOTENCY_KEY)?.map(idempotency_key).transpose()?.map(|key| {
            let command = CommandId::from_key(&format!("{method} {path} {key}"));
            Key { command, body: Uuid::new_v5(&command.0, body).to_string() }
        });
        let expected = one(headers, &header::IF_MATCH)?.map(if_match).transpose()?.flatten();
        Ok(Self { expected, key })
    }

    /// The id of something new: the same one for the same key.
    pub(super) fn new_id(&self) -> Uuid {
        self.key.as_ref().map_or_else(Uuid::now_v7, |key| key.command.0)
    }

    /// Executes the command on these terms.
    pub(super) async fn execute<A, C>(
        &self,
        store: &dyn EventStore,
        stream: Result<StreamId, factum::InvalidName>,
        command: Execute<'_, A, C>,
    ) -> Result<Loaded<A>, Problem>
    where
        A: Handle<C> + Aggregate,
        A::Error: Into<Problem> + std::error::Error + Send + 'static,
        C: Send + Sync,
    {
        let command = match self.expected {
            Some(version) => command.expecting(version),
            None => command,
        };
        let command = match &self.key {
            Some(Key { command: id, body }) => command.command_id(*id).field(BODY, body),
            None => command,
        };
        let is_expected = self.expected.is_some();
        let after = command.await.map_err(|error| Problem::of_command(error, is_expected))?;
        if let (Some(key), Ok(stream)) = (&self.key, stream) {
            // Asked afterwards, because the same key may come twice at once.
            let first = store.find_event(key.command.event_id(&stream, 0)).await?;
            if first.is_some_and(|event| event.metadata.fields.get(BODY) != Some(&key.body)) {
                return Err(Problem::key_reused());
            }
        }
        Ok(after)
    }
}

impl Terms {
    /// Makes the decision on these terms. What it is about has no version of which one could be expected.
    pub(super) async fn decide<D>(
        &self,
        store: &dyn EventStore,
        decision: Decide<'_, D>,
    ) -> Result<(), Problem>
    where
        D: Decision,
        D::Error: Into<Problem> + std::error::Error + Send + 'static,
    {
        if self.expected.is_some() {
            let detail = "this is about many things, and has no version";
            return Err(Problem::malformed(header::IF_MATCH.as_str(), detail));
        }
        let Some(Key { command, body }) = &self.key else {
            decision.await.map_err(|error| Problem::of_command(error, false))?;
            return Ok(());
        };
        let decision = decision.command_id(*command).field(BODY, body);
        decision.await.map_err(|error| Problem::of_command(error, false))?;
        let first = store.find_event(command.decided_event_id(0)).await?;
        if first.is_some_and(|event| event.metadata.fields.get(BODY) != Some(body)) {
            return Err(Problem::key_reused());
        }
        Ok(())
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let headers = request.headers().clone();
        if !is_json(&headers) {
            return Err(Problem::not_json());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unreadable(&error))?;
        let terms = Terms::read(method.as_str(), &path, &headers, &bytes)?;
        Ok(Self { body: parse(&bytes)?, terms })
    }
}

fn unreadable(error: &BytesRejection) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large(error.body_text())
    } else {
        Problem::malformed("the body", error.body_text())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads a body, and names the field that is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        // Where it is no JSON at all, no field is at fault.
        let field = error.inner().is_data().then(|| error.path().to_string());
        Problem::invalid(field.filter(|path| path != "."), error.inner().to_string())
    })?;
    reader.end().map_err(|error| Problem::invalid(None, error.to_string()))?;
    Ok(body)
}

/// The value of a header that stands there once at most.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::malformed(name.as_str(), "it stands there more than once"));
    }
    value.to_str().map(Some).map_err(|_| Problem::malformed(name.as_str(), "it is not ASCII text"))
}

/// A key, with or without the quotation marks that the draft of the standard wants.
fn idempotency_key(value: &str) -> Result<&str, Problem> {
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if bare.is_empty() || bare.len() > KEY_BYTES_MAX || bare.contains('"') {
        let detail = format!("a key has from 1 to {KEY_BYTES_MAX} characters");
        return Err(Problem::malformed(IDEMPOTENCY_KEY.as_str(), detail));
    }
    Ok(bare)
}

/// The version that an `If-Match` names; `*` names none, since a command is refused anyway where there is nothing.
fn if_match(value: &str) -> Result<Option<Version>, Problem> {
    if value == "*" {
        return Ok(None);
    }
    let version = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let version = version.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let version = version.and_then(|digits| digits.parse().ok());
    match version {
        Some(version) => Ok(Some(Version(version))),
        None => Err(Problem::malformed("if-match", "it is one ETag of an answer, such as \"3\", or *")),
    }
}

/// A version as an `ETag`.
pub(super) fn etag(version: Version) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// What an address names, such as an order's id. What cannot be such a thing is one that there is not.
#[derive(Debug)]
pub(super) struct Part<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Part<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(error) => Err(Problem::unknown(error.body_text())),
        }
    }
}

/// The part of an address behind the question mark.
#[derive(Debug)]
pub(super) struct Search<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(search)) => Ok(Self(search)),
            Err(error) => Err(Problem::malformed("the query", error.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(headers: &[(&'static str, &'static str)]) -> Result<Terms, Problem> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        Terms::read("POST", "/orders", &headers, b"{}")
    }

    #[test]
    fn a_version_is_one_strong_etag() {
        let expected = |value| terms(&[("if-match", value)]).map(|terms| terms.expected);
        assert_eq!(expected("\"3\"").expect("a version"), Some(Version(3)));
        assert_eq!(expected("*").expect("any version"), None);
        for wrong in ["3", "\"\"", "\"x\"", "\"+3\"", "W/\"3\"", "\"1\", \"2\"", "\"99999999999999999999\""] {
            assert!(expected(wrong).is_err(), "{wrong}");
        }
        assert!(terms(&[("if-match", "\"1\""), ("if-match", "\"2\"")]).is_err());
    }

    #[test]
    fn a_key_names_the_same_thing_each_time() {
        let id = |value| terms(&[("idempotency-key", value)]).map(|terms| terms.new_id());
        assert_eq!(id("a").expect("a key"), id("\"a\"").expect("a key"));
        assert_ne!(id("a").expect("a key"), id("b").expect("a key"));
        assert_ne!(terms(&[]).expect("no key").new_id(), terms(&[]).expect("no key").new_id());
        for wrong in ["", "\"\"", "\"", "a\"b"] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
