//! What the service says and does when something is ill.

use std::any::Any;

use axum::http::Method;
use factum::store::Append;
use factum::{EventId, EventName, EventStore, Expected, Metadata, NewEvent, OnFailure, Subscription, Timers};
use factum_testkit::Proxy;
use order_service::import::{Options, import};
use order_service::read::ReadModel;
use order_service::shop::Shop;
use serde_json::{Value, json};

use super::client::Answer;
use super::every_store;
use super::service::Service;
use crate::{first_lines, input, shops};

every_store! {
    every_store_keeps_mails_that_fail_until_somebody_decides => mails_that_fail, None;
}

fn letters(answer: &Answer) -> &Vec<Value> {
    answer.body["letters"].as_array().expect("a list")
}

/// What `/health` says of a subscription.
fn of<'a>(health: &'a Answer, name: &str) -> &'a Value {
    let all = health.body["subscriptions"].as_array().expect("a list");
    all.iter().find(|subscription| subscription["name"] == name).expect("it is one of them")
}

async fn mails_that_fail(service: &Service) {
    let folder = service.mails_folder();
    std::fs::remove_dir(&folder).expect("it is empty");
    service.receive("blue", 10).await;
    let ids = [service.place(&["blue"]).await, service.place(&["blue"]).await];

    let parked = service.until("/dead-letters/mails", |answer| letters(answer).len() == 2).await;
    let mut streams: Vec<_> = letters(&parked).iter().map(|letter| letter["stream"].clone()).collect();
    let mut expected: Vec<_> = ids.iter().map(|id| json!(format!("order/{id}"))).collect();
    streams.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(streams, expected);
    for letter in letters(&parked) {
        assert_eq!((&letter["event"], &letter["attempts"]), (&json!("order.delivery_requested"), &json!(5)));
        assert!(letter["errors"][0].as_str().is_some_and(|error| error.contains("folder")), "{letter}");
        assert_eq!(letter["is_due"], false);
    }
    // Set aside, they are in nobody's way.
    let is_well = |health: &Answer| health.status == 200 && of(health, "mails")["dead_letters"] == 2;
    let _ = service.until("/health", is_well).await;

    std::fs::create_dir(&folder).expect("nothing is there");
    let path = |letter: &Value| format!("/dead-letters/mails/{}", letter["position"]);
    let [again, never] = [path(&letters(&parked)[0]), path(&letters(&parked)[1])];
    let _ = service.post(&format!("{again}/retry"), json!(null)).await.is(202);
    let _ = service.until("/dead-letters/mails", |answer| letters(answer).len() == 1).await;
    assert_eq!(service.mails().len(), 1);

    let drop_it = || service.send(Method::DELETE, &never, &[], "");
    let _ = drop_it().await.expect("an answer").is(204);
    let _ = drop_it().await.expect("an answer").has_failed(404, "unknown");
    assert_eq!(letters(&service.get("/dead-letters/mails").await), &[] as &[Value]);
    let page = service.get("/dead-letters/fulfilment%2Fcommands?limit=5").await.is(200);
    assert_eq!(letters(&page), &[] as &[Value]);
}

/// A subscription that has stopped by itself shows, and the rest goes on.
async fn one_has_stopped<S, R>(shop: Shop<S, R>, keep: impl Any + Send + Sync)
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    // Its work was split otherwise, before.
    let other = Subscription::new("mails", shop.store.clone(), OnFailure::stop()).shared(2);
    other.catch_up().await.expect("there is nothing to do");
    let service = Service::start(shop, None, keep).await;
    let health = service.until("/health", |health| of(health, "mails")["is_well"] == false).await.is(503);
    assert_eq!(health.body["is_well"], false);
    let trouble = &of(&health, "mails")["trouble"][0]["what"];
    assert!(trouble.as_str().is_some_and(|text| text.contains("2 partitions and not into 4")), "{trouble}");

    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    let _ = service.post(&format!("/orders/{id}/payment"), json!({ "cents": 100 })).await.is(200);
    let _ = service.until_order(&id, "shipped").await;
    let health = service.get("/health").await.is(503);
    for name in ["fulfilment", "fulfilment/commands", "fulfilment/deadlines", "spend-per-customer@2"] {
        assert_eq!(of(&health, name)["is_well"], true, "{name}: {health:?}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_reports_a_subscription_that_has_stopped() {
    one_has_stopped(shops::memory(), ()).await;
    let (shop, folder) = shops::sqlite().await;
    one_has_stopped(shop, folder).await;
    let (shop, database) = shops::postgres().await;
    one_has_stopped(shop, database).await;
}

/// An order that cannot be read is nobody's fault outside, and nobody outside is told why.
async fn cannot_be_read<S, R>(shop: Shop<S, R>, keep: impl Any + Send + Sync)
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let unheard = NewEvent {
        id: EventId::new(),
        name: EventName::new("order.unheard_of").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: b"{}".to_vec().into(),
        metadata: Metadata::default(),
    };
    let stream = "order/1".parse().expect("a stream");
    shop.store.append(Append::to(stream, Expected::NoStream, vec![unheard])).await.expect("it is new");
    let service = Service::start(shop, None, keep).await;
    for answer in
        [service.get("/orders/1").await, service.post("/orders/1/payment", json!({ "cents": 1 })).await]
    {
        let answer = answer.has_failed(500, "internal");
        assert!(!answer.body.to_string().contains("unheard"), "{answer:?}");
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_keeps_to_itself_why_something_cannot_be_read() {
    cannot_be_read(shops::memory(), ()).await;
    let (shop, folder) = shops::sqlite().await;
    cannot_be_read(shop, folder).await;
    let (shop, database) = shops::postgres().await;
    cannot_be_read(shop, database).await;
}

/// Orders that were imported are history: nobody fulfils or cancels them, or writes about them.
async fn imported<S, R>(shop: Shop<S, R>, keep: impl Any + Send + Sync)
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let text = first_lines(50);
    import(&shop, input(text.clone()), Options::default(), |_, _| {}).await.expect("all lines are purchases");
    let imported = shop.store.head().await.expect("readable");
    let service = Service::start(shop.clone(), Some(std::time::Duration::ZERO), keep).await;
    // A customer who has no time to pay: once that order is cancelled, the process has come past the others.
    let id = service.place(&["blue"]).await;
    let position = service.until_order(&id, "cancelled").await.number("position");
    let is_past = |health: &Answer| {
        let all = health.body["subscriptions"].as_array().expect("a list");
        all.iter().all(|one| one["position"].as_u64() >= Some(position))
    };
    let _ = service.until("/health", is_past).await;
    let read = factum::store::ReadAll::after(imported).limit(1000);
    for event in shop.store.read_all(read).await.expect("readable").events {
        assert!(!event.stream.id().starts_with("cdnow-"), "{event:?}");
    }
    for line in 2..=51 {
        let _ = service.until_order(&format!("cdnow-{line}"), "paid").await;
    }
    assert!(service.mails().iter().all(|mail| mail.contains(&id)), "{:?}", service.mails());

    // Importing again, while the service runs, changes nothing.
    let head = shop.store.head().await.expect("readable");
    let again =
        import(&shop, input(text), Options::default(), |_, _| {}).await.expect("all lines are purchases");
    assert_eq!((again.purchases, again.new), (50, 0));
    assert_eq!(shop.store.head().await.expect("readable"), head);
    let customers = service.get("/customers").await.is(200);
    assert_eq!(customers.number("orders"), 50);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_leaves_imported_orders_alone() {
    imported(shops::memory(), ()).await;
    let (shop, folder) = shops::sqlite().await;
    imported(shop, folder).await;
    let (shop, database) = shops::postgres().await;
    imported(shop, database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_closed_is_not_there_now_in_sqlite() {
    let (shop, folder) = shops::sqlite().await;
    let store = shop.store.clone();
    let service = Service::start(shop, None, folder).await;
    let id = service.place(&["blue"]).await;
    store.close().await;
    let path = format!("/orders/{id}");
    let _ = service.get(&path).await.has_failed(503, "unavailable");
    let paid = service.post(&format!("{path}/payment"), json!({ "cents": 100 })).await;
    let _ = paid.has_failed(503, "unavailable");
    let _ = service.get("/customers").await.has_failed(503, "unavailable");
    let health = service.get("/health").await.is(503);
    assert_eq!(of(&health, "fulfilment")["is_well"], false);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_that_is_gone_for_a_while_is_waited_for_in_postgres() {
    let database = shops::database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port");
    let shop = Shop::in_database(proxy.url()).await.expect("a database");
    let service = Service::start(shop, None, database).await;
    service.receive("blue", 1).await;
    let id = service.place(&["blue"]).await;
    proxy.refuse();
    proxy.cut();
    let path = format!("/orders/{id}");
    let _ = service.get(&path).await.has_failed(503, "unavailable");
    let _ = service.get("/health").await.is(503);

    proxy.heal().expect("the port is free");
    let pay = async || service.post(&format!("{path}/payment"), json!({ "cents": 100 })).await.status;
    while pay().await == 503 {}
    let _ = service.until_order(&id, "shipped").await;
    let _ = service.until("/health", |answer| answer.status == 200).await;
    service.stop().await;
}
