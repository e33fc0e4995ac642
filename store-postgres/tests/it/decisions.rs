//! Appends on a condition, where several processes decide: each test has stores of its own, which share nothing but the database.

use std::sync::Arc;
use std::time::Duration;

use factum_core::store::{Append, Condition, ReadMatching};
use factum_core::{
    AppendError, EventQuery, EventStore, Expected, NewEvent, Overtaken, QueryItem, Tag, Transactional,
};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use tokio::sync::Barrier;

use crate::given::{
    PATIENCE, SOMEBODY_WAITS_FOR_THE_LOCK, ask, database, event, run, store, stranger, stream, until,
};

fn tag(text: &str) -> Tag {
    Tag::new(text).expect("a tag")
}

/// An append of one event about these things.
fn about(id: &str, tags: &[&str]) -> Append {
    let mut event: NewEvent = event();
    event.metadata.tags = tags.iter().map(|text| tag(text)).collect();
    Append::to(stream(id), Expected::Any, vec![event])
}

fn tagged(text: &str) -> EventQuery {
    EventQuery::of(QueryItem::tagged(tag(text)))
}

/// The same on the condition that nothing comes in between which is about this.
async fn decided(store: &PostgresStore, text: &str, append: Append) -> Append {
    let seen = store.read_matching(ReadMatching::new(tagged(text))).await.expect("it can be asked");
    append.only_if(Condition::unchanged(tagged(text), seen.settled, &seen.events))
}

/// What the stores answer who append at the same time.
async fn race(racers: Vec<(PostgresStore, Append)>) -> Vec<Result<(), Overtaken>> {
    let start = Arc::new(Barrier::new(racers.len()));
    let running: Vec<_> = racers
        .into_iter()
        .map(|(store, append)| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                match store.append(append).await {
                    Ok(_) => Ok(()),
                    Err(AppendError::Overtaken(overtaken)) => Err(overtaken),
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for racer in running {
        outcomes.push(tokio::time::timeout(PATIENCE, racer).await.expect("in time").expect("no panic"));
    }
    outcomes
}

async fn stores(database: &Database, count: usize) -> Vec<PostgresStore> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(store(database).await);
    }
    stores
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_processes_that_decide_on_the_same_wins() {
    let database = database().await;
    let stores = stores(&database, 4).await;
    for round in 0..100 {
        let seat = format!("seat:{round}");
        let mut racers = Vec::new();
        for (place, store) in stores.iter().enumerate() {
            let append = about(&format!("{round}/{place}"), &[&seat]);
            racers.push((store.clone(), decided(store, &seat, append).await));
        }
        let won = race(racers).await.iter().flatten().count();
        assert_eq!(won, 1, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_writes_is_seen_by_those_who_decide() {
    let database = database().await;
    let stores = stores(&database, 2).await;
    let mut overtaken = 0;
    for round in 0..100 {
        let seat = format!("seat:{round}");
        let given = decided(&stores[0], &seat, about("decided", &[&seat])).await;
        let racers = vec![(stores[0].clone(), given), (stores[1].clone(), about("written", &[&seat]))];
        let outcomes = race(racers).await;
        assert!(outcomes[1].is_ok());
        let found = stores[0].read_matching(ReadMatching::new(tagged(&seat))).await.expect("it can be asked");
        let order: Vec<_> = found.events.iter().map(|event| event.stream.id()).collect();
        if outcomes[0].is_ok() {
            // It was first.
            assert_eq!(order, ["decided", "written"], "in round {round}");
        } else {
            assert_eq!(order, ["written"], "in round {round}");
            overtaken += 1;
        }
    }
    assert!(overtaken > 0, "they were in each other's way");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_with_very_many_tags_excludes_other_processes_too() {
    let database = database().await;
    let stores = stores(&database, 2).await;
    let many: Vec<String> = (0..400).map(|number| format!("tag:{number}")).collect();
    for round in 0..50 {
        let seat = format!("seat:{round}");
        let tags: Vec<&str> = many.iter().map(String::as_str).chain([&*seat]).collect();
        let given = decided(&stores[0], &seat, about("many", &tags)).await;
        let other = decided(&stores[1], &seat, about("one", &[&seat])).await;
        let racers = vec![(stores[0].clone(), given), (stores[1].clone(), other)];
        let won = race(racers).await.iter().flatten().count();
        assert_eq!(won, 1, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_waits_for_those_whom_it_concerns_and_for_nobody_else() {
    let database = database().await;
    let (open, store) = (store(&database).await, store(&database).await);
    let mut tx = open.begin().await.expect("it begins");
    open.append_in(&mut tx, about("open", &["a"])).await.expect("nothing is expected");
    // Of another thing, by another name or none, it is done at once.
    let b = decided(&store, "b", about("1", &["b"])).await;
    tokio::time::timeout(PATIENCE, store.append(b))
        .await
        .expect("it waits for nobody")
        .expect("nothing came between");
    tokio::time::timeout(PATIENCE, store.append(about("2", &["a"])))
        .await
        .expect("writers share")
        .expect("appends");
    // Of the same thing it waits, and has then been overtaken.
    let a = decided(&store, "a", about("3", &["c"])).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(a).await }
    });
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    // And whoever has nothing to do with either does not wait behind it.
    let c = decided(&store, "d", about("4", &["d"])).await;
    tokio::time::timeout(PATIENCE, store.append(c))
        .await
        .expect("it waits for nobody")
        .expect("nothing came between");
    open.commit(tx).await.expect("it commits");
    let outcome = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert!(matches!(outcome, Err(AppendError::Overtaken(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_append_holds_is_bounded() {
    let database = database().await;
    let store = store(&database).await;
    let many: Vec<String> = (0..2_000).map(|number| format!("tag:{number}")).collect();
    let tags: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut tx = store.begin().await.expect("it begins");
    store.append_in(&mut tx, about("many", &tags)).await.expect("nothing is expected");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let held: i64 = ask(&mut stranger(&database).await, held).await;
    assert!(held <= 256, "{held} locks are held, of a table that all sessions of the server share");
    store.commit(tx).await.expect("it commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_restored_is_not_decided_on_by_what_was_read_before() {
    let database = database().await;
    let store = store(&database).await;
    for id in ["1", "2", "3"] {
        store.append(about(id, &["a"])).await.expect("appends");
    }
    let stale = decided(&store, "a", about("4", &["a"])).await;
    // The last event is lost, and another one has its place.
    let mut other = stranger(&database).await;
    run(
        &mut other,
        "DELETE FROM factum_tags WHERE position = 3; DELETE FROM factum_events WHERE position = 3",
    )
    .await;
    run(
        &mut other,
        "INSERT INTO factum_events (position, version, recorded_at, event_id, schema_version, category, stream, name, codec,
                                    payload, metadata)
         VALUES (3, 1, now(), gen_random_uuid(), 1, 'order', 'other', 'tested', 'json', '{}', '{}')",
    )
    .await;
    match store.append(stale).await {
        Err(AppendError::Store(error)) => {
            assert!(error.to_string().contains("is not one of this log"), "{error}");
        }
        outcome => panic!("expected it to be refused, got {outcome:?}"),
    }
    // Read anew it goes on.
    let fresh = decided(&store, "a", about("4", &["a"])).await;
    tokio::time::timeout(Duration::from_secs(20), store.append(fresh))
        .await
        .expect("in time")
        .expect("appends");
}
