//! What becomes of an order.

use std::time::Duration;

use serde_json::json;

use super::client::Answer;
use super::every_store;
use super::service::Service;

every_store! {
    every_store_delivers_what_is_reserved_and_paid => delivers, None;
    every_store_delivers_what_is_paid_before_it_is_reserved => delivers_what_is_paid_at_once, None;
    every_store_cancels_what_is_not_paid_in_time => not_paid_in_time, Duration::from_millis(300);
    every_store_cancels_what_is_missing => missing, None;
    every_store_puts_back_what_a_customer_cancels => cancelled_by_the_customer, None;
}

/// The names of what has happened to an order.
async fn names(service: &Service, id: &str) -> Vec<String> {
    let history = service.get(&format!("/orders/{id}/history")).await.is(200);
    let events = history.body["events"].as_array().expect("a list");
    events.iter().map(|event| event["name"].as_str().expect("a name").replace("order.", "")).collect()
}

/// Waits until there are so many: available, reserved, consumed.
async fn until_stock(service: &Service, product: &str, expected: [u64; 3]) {
    let is_so = |answer: &Answer| {
        ["available", "reserved", "consumed"].map(|field| answer.body[field].as_u64()) == expected.map(Some)
    };
    let _ = service.until(&format!("/stock/{product}"), is_so).await;
}

/// Waits until every one of these was written, and checks that nothing else was.
async fn until_mails(service: &Service, subjects: &[&str]) {
    let has = |mails: &[String], subject: &&str| mails.iter().any(|mail| mail.contains(*subject));
    let _ = service.until("/health", |_| subjects.iter().all(|subject| has(&service.mails(), subject))).await;
    assert_eq!(service.mails().len(), subjects.len(), "{:?}", service.mails());
}

async fn delivers(service: &Service) {
    service.receive("blue", 5).await;
    let order = json!({
        "customer": "ada", "email": "ada@example.com",
        "lines": [{ "product": "blue", "quantity": 2, "cents": 2354 }, { "product": "blue", "quantity": 1, "cents": 1177 }],
    });
    let placed = service.post("/orders", order).await.is(201);
    assert_eq!(placed.header("etag"), "\"2\"");
    assert_eq!((placed.text("status").as_str(), placed.number("total_cents")), ("placed", 3531));
    let id = placed.text("id");
    let path = format!("/orders/{id}");
    assert_eq!(placed.header("location"), path);

    let reserved = service.until(&path, |answer| answer.body["is_reserved"] == true).await;
    assert_eq!((reserved.header("etag"), reserved.number("paid_cents")), ("\"3\"", 0));
    until_stock(service, "blue", [2, 3, 0]).await;

    let paid = service.post(&format!("{path}/payment"), json!({ "cents": 3531 })).await.is(200);
    assert_eq!((paid.text("status").as_str(), paid.number("paid_cents")), ("paid", 3531));
    let position = paid.number("position");
    let customers = service.get(&format!("/customers?after={position}")).await.is(200);
    let last_order = &customers.body["customers"][0]["last_order"];
    let day = last_order.as_str().and_then(|day| day.parse::<chrono::NaiveDate>().ok());
    assert!(day.is_some(), "{last_order}");
    let ada = json!({
        "customer": "ada", "orders": 1, "quantity": 3, "spent_cents": 3531, "last_order": last_order,
    });
    assert_eq!(customers.body, json!({ "count": 1, "orders": 1, "spent_cents": 3531, "customers": [ada] }));
    let revenue = service.get(&format!("/revenue?after={position}")).await.is(200);
    assert_eq!(revenue.body["months"][0]["revenue_cents"], 3531);

    let _ = service.until_order(&id, "shipped").await;
    until_stock(service, "blue", [2, 0, 3]).await;
    assert_eq!(
        names(service, &id).await,
        ["placed", "delivery_requested", "reserved", "paid", "ready", "shipped"]
    );
    until_mails(service, &["we have your order", "is on its way"]).await;
    let _ = service.until("/health", |answer| answer.status == 200).await;
}

async fn delivers_what_is_paid_at_once(service: &Service) {
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let _ = service.post(&format!("/orders/{id}/payment"), json!({ "cents": 100 })).await.is(200);
    let _ = service.until_order(&id, "shipped").await;
    until_stock(service, "blue", [0, 0, 1]).await;
}

async fn not_paid_in_time(service: &Service) {
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let _ = service.until_order(&id, "cancelled").await;
    until_stock(service, "blue", [1, 0, 0]).await;
    until_mails(service, &["we have your order", "it was not paid in time"]).await;
    let late = service.post(&format!("/orders/{id}/payment"), json!({ "cents": 100 })).await;
    let _ = late.has_failed(409, "already");
}

async fn missing(service: &Service) {
    service.receive("blue", 1).await;
    let id = service.place(&["blue", "red"]).await;
    let _ = service.post(&format!("/orders/{id}/payment"), json!({ "cents": 200 })).await;
    let cancelled = service.until_order(&id, "cancelled").await;
    assert_eq!(cancelled.number("paid_cents"), 0, "what was paid is paid back");
    until_stock(service, "blue", [1, 0, 0]).await;
    until_mails(service, &["we have your order", "red: only 0 of 1 are there"]).await;
}

async fn cancelled_by_the_customer(service: &Service) {
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let path = format!("/orders/{id}");
    // Whether it is reserved by then is up to chance, and makes no difference in the end.
    let _ =
        service.post(&format!("{path}/cancellation"), json!({ "reason": "changed my mind" })).await.is(200);
    until_mails(service, &["we have your order", "changed my mind"]).await;
    // The next one gets what was put back.
    let next = service.place(&["blue"]).await;
    let _ = service.post(&format!("/orders/{next}/payment"), json!({ "cents": 100 })).await.is(200);
    let is_over = |answer: &Answer| ["shipped", "cancelled"].contains(&answer.text("status").as_str());
    let _ = service.until(&format!("/orders/{next}"), is_over).await;
    let stock = service.until("/stock/blue", |answer| answer.body["reserved"] == 0).await;
    assert_eq!(stock.number("available") + stock.number("consumed"), 1);
}
