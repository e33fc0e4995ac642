//! Two programs that serve one store, one of which is killed; and one that is told to stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::client::{Answer, Client, order_for};
use super::program::Program;
use super::service::mails_in;
use crate::shops;

/// How many orders are placed, and how many are under way at once.
const ORDERS: usize = 200;
const UNDER_WAY: usize = 8;

/// How many there are in stock: too few for all.
const IN_STOCK: usize = 120;

/// Sends a request to one program, and if that gives no answer, or cannot now, to the other: the same one, by its key.
async fn insist(clients: [&Client; 2], path: &str, key: &str, body: Value) -> Answer {
    for client in clients.iter().cycle() {
        let answer = client.try_post_with(path, &[("idempotency-key", key)], body.clone()).await;
        if let Some(answer) = answer.ok().filter(|answer| answer.status != 503) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("a cycle has no end")
}

/// Places order number `number`, and pays it, unless it is one of those that nobody pays.
async fn order(clients: [&Client; 2], number: usize) -> String {
    let clients = if number.is_multiple_of(2) { clients } else { [clients[1], clients[0]] };
    let (products, key) = ([["blue"], ["red"]][number / 2 % 2], format!("order {number}"));
    let id = insist(clients, "/orders", &key, order_for(&products)).await.is(201).text("id");
    if !number.is_multiple_of(10) {
        let paid = insist(clients, &format!("/orders/{id}/payment"), &key, json!({ "cents": 100 })).await;
        // It may have been cancelled, for want of goods.
        assert!([200, 409].contains(&paid.status), "{paid:?}");
    }
    id
}

/// How often each event has happened to an order.
async fn counts(client: &Client, id: &str) -> BTreeMap<String, usize> {
    let history = client.get(&format!("/orders/{id}/history")).await.is(200);
    let mut counts = BTreeMap::new();
    for event in history.body["events"].as_array().expect("a list") {
        *counts.entry(event["name"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    counts
}

async fn one_is_killed(store: &str, mails: &Path) {
    let mut doomed = Program::serve(store, mails, "5s");
    let survivor = Program::serve(store, mails, "5s");
    for product in ["blue", "red"] {
        survivor.client.receive(product, u32::try_from(IN_STOCK / 2).expect("few")).await;
    }

    // Both are well, although a projection is kept by one of them and the other stands by.
    let mut projections_here = 0;
    for program in [&doomed, &survivor] {
        let health = program.client.until("/health", |health| health.status == 200).await;
        projections_here += health.body["subscriptions"][0]["partitions_here"].as_u64().expect("a number");
    }
    assert!(projections_here <= 1, "{projections_here} keep one projection");

    let (done, half) = (AtomicUsize::new(0), Notify::new());
    let clients = [&doomed.client.clone(), &survivor.client];
    let orders = stream::iter(0..ORDERS)
        .map(|number| {
            let (done, half) = (&done, &half);
            async move {
                let id = order(clients, number).await;
                if done.fetch_add(1, Ordering::Relaxed) + 1 == ORDERS / 2 {
                    half.notify_one();
                }
                id
            }
        })
        .buffer_unordered(UNDER_WAY)
        .collect::<Vec<_>>();
    let killing = async {
        half.notified().await;
        for client in clients {
            let health = client.get("/health").await;
            for subscription in health.body["subscriptions"].as_array().expect("a list") {
                assert!(subscription.get("ended").is_none(), "nobody is in the other's way: {subscription}");
            }
        }
        doomed.kill();
    };
    let (ids, ()) = tokio::join!(orders, killing);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ORDERS);

    let (mut shipped, client) = (0, &survivor.client);
    let mut endings = Vec::new();
    for id in &ids {
        let is_over = |answer: &Answer| ["shipped", "cancelled"].contains(&answer.text("status").as_str());
        let status = client.until(&format!("/orders/{id}"), is_over).await.text("status");
        let counts = counts(client, id).await;
        let count = |name: &str| counts.get(name).copied().unwrap_or_default();
        let ends = count("order.shipped") + count("order.cancelled");
        assert_eq!((count("order.placed"), ends), (1, 1), "{id}: {counts:?}");
        assert!(count("order.paid") <= 1, "{id}: {counts:?}");
        if status == "shipped" {
            assert_eq!((count("order.paid"), count("order.reserved")), (1, 1), "{id}: {counts:?}");
            shipped += 1;
        }
        endings.push((id, if status == "shipped" { "is on its way" } else { "was cancelled" }));
    }
    assert!(0 < shipped && shipped <= IN_STOCK, "{shipped} were shipped");

    // Nothing is reserved any more, and what is there and what was shipped is what there was.
    let mut sums = [0, 0];
    for product in ["blue", "red"] {
        let stock = client.until(&format!("/stock/{product}"), |stock| stock.body["reserved"] == 0).await;
        sums[0] += stock.number("available");
        sums[1] += stock.number("consumed");
    }
    let [in_stock, shipped] = [IN_STOCK, shipped].map(|count| u64::try_from(count).expect("few"));
    assert_eq!(sums, [in_stock - shipped, shipped]);

    // The projections say the same, exactly.
    let head = client.get("/health").await.body["subscriptions"][0]["head"].to_string();
    let customers = client.get(&format!("/customers?after={head}")).await.is(200);
    let last_order = &customers.body["customers"][0]["last_order"];
    let expected = json!({
        "customer": "ada", "orders": shipped, "quantity": shipped, "spent_cents": 100 * shipped,
        "last_order": last_order,
    });
    assert_eq!(customers.body["customers"], json!([expected]));

    // Everybody was told, once or more; as files, once.
    let is_complete = |_: &Answer| {
        let all = mails_in(mails);
        let is_told = |id: &str, what: &str| all.iter().any(|mail| mail.contains(id) && mail.contains(what));
        endings.iter().all(|(id, ending)| is_told(id, "we have your order") && is_told(id, ending))
    };
    let _ = client.until("/health", is_complete).await;
    assert_eq!(mails_in(mails).len(), 2 * ORDERS);
    for subscription in ["mails", "fulfilment", "fulfilment%2Fcommands", "fulfilment%2Fdeadlines"] {
        let letters = client.get(&format!("/dead-letters/{subscription}")).await.is(200);
        assert_eq!(letters.body["letters"], json!([]), "{subscription}");
    }
    let _ = client.until("/health", |health| health.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_finishes_the_work_of_a_program_that_was_killed_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("orders.db");
    one_is_killed(store.to_str().expect("a plain path"), &folder.path().join("mails")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_finishes_the_work_of_a_program_that_was_killed_in_postgres() {
    let database = shops::database().await;
    let folder = tempfile::tempdir().expect("a folder");
    one_is_killed(database.url(), &folder.path().join("mails")).await;
}

/// What is under way when a program is told to stop is answered; then it ends, and says that all is well.
async fn one_is_stopped(store: &str, mails: &Path) {
    let mut program = Program::serve(store, mails, "15m");
    let client = program.client.clone();
    client.receive("blue", 1).await;
    let id = client.place(&["blue"]).await;
    // Nobody has this position yet, so the reader waits.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get("/customers?after=1000000").await }
    });
    // A request on another connection shows that the one before was taken, if not for sure.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = client.get(&format!("/orders/{id}")).await.is(200);
    program.terminate();
    let _ = waiting.await.expect("no panic").has_failed(503, "unavailable");
    let ended = tokio::task::spawn_blocking(move || (program.wait(), program)).await.expect("no panic");
    assert!(ended.0.success(), "{}", ended.0);
    assert!(client.send(Method::GET, "/health", &[], "").await.is_err(), "nobody answers any more");

    // Whatever was not done then is done by the next one.
    let next = Program::serve(store, mails, "15m");
    let _ = next.client.post(&format!("/orders/{id}/payment"), json!({ "cents": 100 })).await.is(200);
    let _ = next.client.until_order(&id, "shipped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_told_to_stop_ends_well_in_memory() {
    let mails = tempfile::tempdir().expect("a folder");
    let mut program = Program::serve("memory", mails.path(), "15m");
    program.terminate();
    assert!(program.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_told_to_stop_finishes_its_requests_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("orders.db");
    one_is_stopped(store.to_str().expect("a plain path"), &folder.path().join("mails")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_told_to_stop_finishes_its_requests_in_postgres() {
    let database = shops::database().await;
    let folder = tempfile::tempdir().expect("a folder");
    one_is_stopped(database.url(), &folder.path().join("mails")).await;
}
