//! Whoever holds up the feed is named, in the log and to whoever asks.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum_core::{EventStore, Expected, Position, Transactional};
use factum_postgres::{FeedHolder, PostgresStore, PostgresTx};
use sqlx::{Connection as _, PgConnection};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::given::{ask, database, migrated_server, one, run, store};

/// Writes down the warnings of this crate, each as a line.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn about_the_feed(&self) -> Vec<String> {
        let lines = self.0.lock().expect("nobody panics here");
        lines.iter().filter(|line| line.contains("the feed waits")).cloned().collect()
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("factum_postgres")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().expect("nobody panics here").push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a text takes everything");
    }
}

/// A transaction with an append in it, with its process.
async fn held(store: &PostgresStore, id: &str) -> (PostgresTx, i32) {
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one(id, Expected::Any)).await.expect("appends");
    let pid = ask(&mut tx, "SELECT pg_backend_pid()").await;
    (tx, pid)
}

fn pids(holders: &[FeedHolder]) -> Vec<Option<i32>> {
    holders.iter().map(|holder| holder.pid).collect()
}

// On one thread, whose warnings are written down.
#[tokio::test]
async fn who_holds_up_the_feed_for_long_is_named_in_the_log() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let database = database().await;
    let joint = if database.url().contains('?') { '&' } else { '?' };
    let named = format!("{}{joint}application_name=till", database.url());
    let till = PostgresStore::connect(&named).await.expect("connects");
    let (tx, pid) = held(&till, "held").await;
    let reader = store(&database).await;
    reader.append(one("1", Expected::Any)).await.expect("appends");

    let waiting = reader.wait(Position::START);
    tokio::time::timeout(Duration::from_millis(300), waiting).await.expect_err("is held up");
    assert_eq!(warnings.about_the_feed(), [""; 0], "it is not long");
    // It is not what is waited for.
    let (other, other_pid) = held(&reader, "later").await;
    let waiting = reader.wait(Position::START);
    tokio::time::timeout(Duration::from_millis(1800), waiting).await.expect_err("is held up");
    let lines = warnings.about_the_feed();
    assert_eq!(lines.len(), 1, "once: {lines:?}");
    for fact in [
        "after=0",
        &format!("pid: Some({pid})"),
        "since: Some(",
        "state: Some(\"idle in transaction\")",
        "application_name: Some(\"till\")",
    ] {
        assert!(lines[0].contains(fact), "{fact} is not in {}", lines[0]);
    }
    let (_, age) = lines[0].split_once("age: Some(").expect("has an age");
    let (age, _) = age.split_once("s)").expect("in seconds");
    assert!(age.parse::<f64>().expect("and in no smaller unit") >= 1.0, "{}", lines[0]);
    assert!(!lines[0].contains(&other_pid.to_string()), "{}", lines[0]);
    drop(other);
    till.commit(tx).await.expect("commits");
    reader.wait(Position::START).await.expect("waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_who_holds_up_the_feed() {
    let database = database().await;
    let store = store(&database).await;
    assert_eq!(store.feed_holders().await.expect("asks"), []);
    let (first, first_pid) = held(&store, "1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (second, second_pid) = held(&store, "2").await;
    let holders = store.feed_holders().await.expect("asks");
    assert_eq!(pids(&holders), [Some(first_pid), Some(second_pid)], "the oldest first");
    let age = holders[0].age.expect("is known");
    assert!(age >= Duration::from_millis(300) && age < Duration::from_secs(10), "{age:?}");
    assert!(holders[0].since < holders[1].since && holders[0].age > holders[1].age);
    assert_eq!(holders[0].state.as_deref(), Some("idle in transaction"));
    assert_eq!(holders[0].application_name.as_deref(), Some("factum"));
    assert_eq!(holders[0].prepared, None);
    store.commit(first).await.expect("commits");
    assert_eq!(pids(&store.feed_holders().await.expect("asks")), [Some(second_pid)]);
    second.rollback().await.expect("rolls back");
    assert_eq!(store.feed_holders().await.expect("asks"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_holder_is_known_by_its_name_also_after_a_crash() {
    let (server, store) = migrated_server().await;
    // Of the two, each has a name of its own.
    for name in ["ours", "theirs"] {
        let (mut tx, _) = held(&store, name).await;
        let prepare = sqlx::AssertSqlSafe(format!("PREPARE TRANSACTION '{name}'"));
        sqlx::raw_sql(prepare).execute(&mut *tx).await.expect("prepares");
    }
    for is_after_a_crash in [false, true] {
        if is_after_a_crash {
            server.kill().expect("dies");
            server.start_again().expect("comes back");
        }
        let holders = store.feed_holders().await.expect("asks");
        let names: Vec<_> = holders.iter().map(|holder| (holder.pid, holder.prepared.as_deref())).collect();
        assert_eq!(names, [(None, Some("ours")), (None, Some("theirs"))]);
        assert!(holders.iter().all(|holder| holder.age.is_some() && holder.since.is_some()));
    }
    let mut connection = PgConnection::connect(server.url()).await.expect("connects");
    run(&mut connection, "COMMIT PREPARED 'ours'").await;
    run(&mut connection, "ROLLBACK PREPARED 'theirs'").await;
    assert_eq!(store.feed_holders().await.expect("asks"), []);
}
