//! Goods that are promised before they are there.

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::json;

use super::every_store;
use super::service::Service;

every_store! {
    every_store_promises_what_is_announced => promises, None;
    every_store_promises_no_more_than_will_come_however_many_ask => racers, None;
    every_store_gives_a_repeated_promise_once => repeated, None;
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn announce(service: &Service, product: &str, quantity: u32) {
    let path = format!("/stock/{product}/announcement");
    let body = json!({ "quantity": quantity }).to_string();
    let _ = service.send(Method::PUT, &path, &[JSON], body).await.expect("an answer").is(200);
}

/// Announced, promised, and what is left.
async fn counts(service: &Service, product: &str) -> [u64; 3] {
    let answer = service.get(&format!("/stock/{product}/promises")).await.is(200);
    ["announced", "promised", "available"].map(|field| answer.number(field))
}

async fn promises(service: &Service) {
    let path = "/stock/blue/promises";
    assert_eq!(counts(service, "blue").await, [0, 0, 0]);
    let _ = service.post(path, json!({ "order": "1", "quantity": 1 })).await.has_failed(409, "missing");
    announce(service, "blue", 5).await;
    let _ = service.post(path, json!({ "order": "1", "quantity": 3 })).await.is(200);
    let _ = service.post(path, json!({ "order": "1", "quantity": 2 })).await.has_failed(409, "already");
    let missing = service.post(path, json!({ "order": "2", "quantity": 3 })).await.has_failed(409, "missing");
    assert_eq!(missing.text("detail"), "only 2 of 3 are left to be promised");
    assert_eq!(counts(service, "blue").await, [5, 3, 2]);

    let fewer = json!({ "quantity": 2 }).to_string();
    let fewer =
        service.send(Method::PUT, "/stock/blue/announcement", &[JSON], fewer).await.expect("an answer");
    let _ = fewer.has_failed(409, "promised");
    let withdrawn = service.send(Method::DELETE, "/stock/blue/promises/1", &[], "").await.expect("an answer");
    assert_eq!(withdrawn.is(200).number("available"), 5);
    let _ = service.post(path, json!({ "order": "2", "quantity": 5 })).await.is(200);
    assert_eq!(counts(service, "blue").await, [5, 5, 0]);

    let _ = service.post(path, json!({ "order": "2", "quantity": 0 })).await.has_failed(422, "invalid");
    let expected = [("if-match", "\"1\"")];
    let body = json!({ "order": "3", "quantity": 1 });
    let _ = service.post_with(path, &expected, body).await.has_failed(400, "malformed");
}

async fn racers(service: &Service) {
    for product in ["blue", "red"] {
        announce(service, product, 5).await;
    }
    let ask = |racer: usize| {
        let product = if racer.is_multiple_of(2) { "blue" } else { "red" };
        let body = json!({ "order": racer.to_string(), "quantity": 1 });
        async move { service.post(&format!("/stock/{product}/promises"), body).await.status }
    };
    let answers = join_all((0..32).map(ask)).await;
    for product in [0, 1] {
        let of_product: Vec<_> = answers.iter().skip(product).step_by(2).collect();
        let won = of_product.iter().filter(|status| ***status == 200).count();
        assert_eq!(won, 5, "of 16 who ask for one of 5: {of_product:?}");
        assert!(of_product.iter().all(|status| [200, 409].contains(*status)), "{of_product:?}");
    }
    for product in ["blue", "red"] {
        assert_eq!(counts(service, product).await, [5, 5, 0]);
    }
}

async fn repeated(service: &Service) {
    announce(service, "blue", 5).await;
    let key = [("idempotency-key", "a")];
    let path = "/stock/blue/promises";
    for _ in 0..3 {
        let _ = service.post_with(path, &key, json!({ "order": "1", "quantity": 2 })).await.is(200);
    }
    assert_eq!(counts(service, "blue").await, [5, 2, 3]);
    let other = json!({ "order": "2", "quantity": 2 });
    let _ = service.post_with(path, &key, other).await.has_failed(422, "key-reused");
}
