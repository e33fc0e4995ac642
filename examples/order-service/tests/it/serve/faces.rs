//! How requests are answered.

use axum::http::Method;
use serde_json::json;

use super::client::order_for;
use super::every_store;
use super::service::Service;

every_store! {
    every_store_says_what_is_wrong => wrong, None;
    every_store_minds_the_version_that_was_seen => versions, None;
    every_store_does_a_repeated_request_once => repeated, None;
    every_store_shows_readers_what_they_have_written => read_your_writes, None;
    every_store_tells_a_history_page_by_page => pages, None;
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn wrong(service: &Service) {
    // What there is not.
    for path in ["/orders/1", "/orders/1/history", "/stock/blue", "/nothing", "/dead-letters/nobody"] {
        let _ = service.get(path).await.has_failed(404, "unknown");
    }
    let _ = service.post("/orders/1/payment", json!({ "cents": 1 })).await.has_failed(404, "unknown");
    let _ = service.post("/dead-letters/mails/7/retry", json!(null)).await.has_failed(404, "unknown");
    let dropped = service.send(Method::DELETE, "/dead-letters/mails/7", &[], "").await.expect("an answer");
    let _ = dropped.has_failed(404, "unknown");
    let put = service.send(Method::PUT, "/orders", &[], "").await.expect("an answer");
    let _ = put.has_failed(405, "method-not-allowed");

    // Bodies.
    let bodies = [
        ("", None),
        ("{", None),
        ("7", None),
        (r#"{"customer":"ada","email":"ada@example.com"}"#, None),
        (r#"{"customer":7,"email":"ada@example.com","lines":[]}"#, Some("customer")),
        (r#"{"customer":" ","email":"ada@example.com","lines":[]}"#, Some("customer")),
        (r#"{"customer":"ada","email":"ada","lines":[]}"#, Some("email")),
        (r#"{"customer":"ada","email":"ada@example.com","lines":[]}"#, Some("lines")),
        (r#"{"customer":"ada","email":"ada@example.com","lines":[],"more":1}"#, Some("more")),
        (
            r#"{"customer":"ada","email":"ada@example.com","lines":[{"product":"blue","quantity":"2","cents":1}]}"#,
            Some("lines[0].quantity"),
        ),
        (
            r#"{"customer":"ada","email":"ada@example.com","lines":[{"product":"blue","quantity":0,"cents":1}]}"#,
            Some("lines[0].quantity"),
        ),
        (
            r#"{"customer":"ada","email":"ada@example.com","lines":[{"product":"blue","quantity":1,"cents":-1}]}"#,
            Some("lines[0].cents"),
        ),
    ];
    for (body, field) in bodies {
        let answer = service.send(Method::POST, "/orders", &[JSON], body).await.expect("an answer");
        let answer = answer.has_failed(422, "invalid");
        assert_eq!(answer.body.get("field").and_then(|field| field.as_str()), field, "{body}: {answer:?}");
    }
    let untyped = service.send(Method::POST, "/orders", &[], order_for(&["blue"]).to_string()).await;
    let _ = untyped.expect("an answer").has_failed(415, "not-json");
    let large = format!("{{\"customer\":\"{}\"}}", "a".repeat(70_000));
    let large = service.send(Method::POST, "/orders", &[JSON], large).await.expect("an answer");
    let _ = large.has_failed(413, "too-large");

    // Headers, and what stands behind a question mark.
    for header in [("if-match", "3"), ("if-match", "W/\"3\""), ("idempotency-key", "")] {
        let answer = service.post_with("/orders", &[header], order_for(&["blue"])).await;
        let _ = answer.has_failed(400, "malformed");
    }
    for path in
        ["/customers?after=x", "/customers?before=1", "/revenue?after=-1", "/orders/1/history?limit=x"]
    {
        let _ = service.get(path).await.has_failed(400, "malformed");
    }

    // What the shop refuses.
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let path = format!("/orders/{id}");
    let of = |part: &str| format!("{path}/{part}");
    let ship = service.post(&of("shipment"), json!({ "parcel": "P1" })).await;
    let _ = ship.has_failed(409, "not-paid");
    let cents = service.post(&of("payment"), json!({ "cents": 99 })).await.has_failed(409, "wrong-amount");
    assert_eq!(cents.text("detail"), "the order costs 1.00, not 0.99");
    let _ = service.post(&of("cancellation"), json!({ "reason": "no" })).await.is(200);
    let _ = service.post(&of("payment"), json!({ "cents": 100 })).await.has_failed(409, "already");
    // Nothing that was refused has left a trace: not even that somebody is a customer.
    let history = service.get(&format!("{path}/history")).await.is(200).body.to_string();
    assert!(!history.contains("order.paid") && !history.contains("order.shipped"), "{history}");
    let position = service.get(&path).await.is(200).number("position");
    assert_eq!(service.get(&format!("/customers?after={position}")).await.is(200).number("count"), 1);
}

async fn versions(service: &Service) {
    let id = service.place(&["blue"]).await;
    let path = format!("/orders/{id}");
    // Nothing of it is in stock, so it is cancelled, and stays at that version.
    let order = service.until_order(&id, "cancelled").await;
    let version = order.header("etag").to_owned();
    let cancel = async |version: &str| {
        let (path, body) = (format!("{path}/cancellation"), json!({ "reason": "again" }));
        service.post_with(&path, &[("if-match", version)], body).await
    };
    let stale = cancel("\"1\"").await.has_failed(412, "stale");
    assert!(stale.text("detail").contains("not at version 1"), "{stale:?}");
    // It is cancelled already, so nothing happens.
    let same = cancel(&version).await.is(200);
    assert_eq!(same.header("etag"), version);
    let _ = cancel("*").await.is(200);
    let body = json!({ "cents": 1 });
    let unknown = service.post_with("/orders/1/payment", &[("if-match", "\"1\"")], body).await;
    let _ = unknown.has_failed(404, "unknown");
    let place = service.post_with("/orders", &[("if-match", "\"1\"")], order_for(&["blue"])).await;
    let _ = place.has_failed(412, "stale");
}

async fn repeated(service: &Service) {
    let key = [("idempotency-key", "\"one\"")];
    // The same request, several times at once and once more: one receipt.
    let receive = || service.post_with("/stock/blue/receipts", &key, json!({ "quantity": 5 }));
    let answers = futures_util::future::join_all((0..5).map(|_| receive())).await;
    let first = receive().await.is(200);
    assert_eq!(first.number("available"), 5);
    for answer in answers {
        let answer = answer.is(200);
        assert_eq!((&answer.body, answer.header("etag")), (&first.body, "\"1\""));
    }

    // The same key elsewhere is another request.
    let placed = service.post_with("/orders", &key, order_for(&["blue"])).await.is(201);
    let path = placed.header("location").to_owned();
    let payment = format!("{path}/payment");
    let pay = || service.post_with(&payment, &key, json!({ "cents": 100 }));
    let paid = pay().await.is(200);
    let _ = service.until(&path, |answer| answer.body["status"] == "shipped").await;
    // Long after, the answers are what they were.
    let again = service.post_with("/orders", &key, order_for(&["blue"])).await.is(201);
    assert_eq!((&again.body, again.header("location")), (&placed.body, path.as_str()));
    assert_eq!(pay().await.is(200).body, paid.body);
    let history = service.get(&format!("{path}/history")).await.is(200);
    let names = history.body["events"].as_array().expect("a list").iter().map(|event| &event["name"]);
    assert_eq!(names.filter(|name| **name == "order.paid").count(), 1);

    // Another body is no repetition.
    let other = service.post_with("/orders", &key, order_for(&["red"])).await;
    let _ = other.has_failed(422, "key-reused");
    let other = service.post_with("/stock/blue/receipts", &key, json!({ "quantity": 6 })).await;
    let _ = other.has_failed(422, "key-reused");
    let stock = service.get("/stock/blue").await.is(200);
    assert_eq!(stock.number("available") + stock.number("reserved") + stock.number("consumed"), 5);
}

async fn read_your_writes(service: &Service) {
    service.receive("blue", 20).await;
    for count in 1..=20 {
        let placed = service.post("/orders", order_for(&["blue"])).await.is(201);
        let customers = service.get(&format!("/customers?after={}", placed.number("position"))).await.is(200);
        assert_eq!(customers.number("orders"), count, "{customers:?}");
    }
    let never = service.get("/customers?after=1000000").await.has_failed(503, "unavailable");
    assert!(never.text("detail").contains("not at 1000000"), "{never:?}");
}

async fn pages(service: &Service) {
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let _ = service.post(&format!("/orders/{id}/payment"), json!({ "cents": 100 })).await.is(200);
    let _ = service.until_order(&id, "shipped").await;
    let mut next = Some(format!("/orders/{id}/history?limit=4"));
    let mut versions = Vec::new();
    while let Some(path) = next {
        let page = service.get(&path).await.is(200);
        let events = page.body["events"].as_array().expect("a list");
        versions.push(
            events.iter().map(|event| event["version"].as_u64().expect("a number")).collect::<Vec<_>>(),
        );
        next = page.body.get("next").map(|next| next.as_str().expect("a path").to_owned());
    }
    assert_eq!(versions, [vec![1, 2, 3, 4], vec![5, 6]]);
}
