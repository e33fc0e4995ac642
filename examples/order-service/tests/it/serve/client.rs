//! A small HTTP client, and the patience of a customer.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// How long is waited for what has to come: long enough for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(100);

/// Speaks to one service.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    http: Legacy<HttpConnector, Full<Bytes>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, `null` if there is none.
    pub(crate) body: Value,
}

/// Nothing was answered: the connection was refused, or broke.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl Client {
    /// Speaks to the service at `base`, such as `http://127.0.0.1:8080`.
    pub(crate) fn new(base: impl Into<String>) -> Self {
        Self { base: base.into(), http: Legacy::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request, and returns what is answered, if anything is.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let response = self.http.request(request).await.map_err(|_| NoAnswer)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.map_err(|_| NoAnswer)?.to_bytes();
        let body = match &bytes[..] {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).expect("JSON"),
        };
        Ok(Answer { status, headers, body })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.try_post_with(path, headers, body).await.expect("an answer")
    }

    pub(crate) async fn try_post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Result<Answer, NoAnswer> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Method::POST, path, &headers, body.to_string()).await
    }

    /// Puts so many of a product in stock.
    pub(crate) async fn receive(&self, product: &str, quantity: u32) {
        let path = format!("/stock/{product}/receipts");
        let _ = self.post(&path, json!({ "quantity": quantity })).await.is(200);
    }

    /// Places an order for one each, at 100 cents, and returns its id.
    pub(crate) async fn place(&self, products: &[&str]) -> String {
        self.post("/orders", order_for(products)).await.is(201).text("id")
    }

    /// Waits until the answer to a `GET` is as it has to be.
    pub(crate) async fn until(&self, path: &str, is_fine: impl Fn(&Answer) -> bool) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.get(path).await;
            if is_fine(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "{path} stays like this: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until an order has come to a status.
    pub(crate) async fn until_order(&self, id: &str, status: &str) -> Answer {
        self.until(&format!("/orders/{id}"), |answer| answer.body["status"] == status).await
    }
}

/// An order for one each of these, at 100 cents.
pub(crate) fn order_for(products: &[&str]) -> Value {
    let line = |product: &&str| json!({ "product": product, "quantity": 1, "cents": 100 });
    let lines: Vec<_> = products.iter().map(line).collect();
    json!({ "customer": "ada", "email": "ada@example.com", "lines": lines })
}

impl Answer {
    /// It has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// It is a problem of this kind, told as RFC 9457 has it.
    #[track_caller]
    pub(crate) fn has_failed(self, status: u16, kind: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
        assert_eq!(answer.body["type"], format!("urn:order-service:{kind}"), "{answer:?}");
        assert_eq!(answer.body["status"], status, "{answer:?}");
        assert!(answer.body["title"].is_string() && answer.body["detail"].is_string(), "{answer:?}");
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), status == 503, "{answer:?}");
        answer
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("text")
    }

    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no text {field} in {self:?}")).to_owned()
    }

    #[track_caller]
    pub(crate) fn number(&self, field: &str) -> u64 {
        self.body[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {self:?}"))
    }
}
