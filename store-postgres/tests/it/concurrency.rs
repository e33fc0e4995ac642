//! Appends that meet: each has its own outcome, and none holds up another for longer than it must.

use std::time::Duration;

use factum_core::store::{Append, Appended};
use factum_core::{
    AppendError, Conflict, EventStore, Expected, IdReused, StoreErrorKind, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::Database;

use crate::given::{
    ONE_SLEEPS, PATIENCE, SOMEBODY_WAITS_FOR_THE_LOCK, all_events, ask, database, event, events_of, follow,
    kind_of, one, pause_in_the_insert, positions, run, store, store_with_one_lane, stranger, stream,
    take_the_lock, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_writer_is_not_passed_by_a_fast_one() {
    let database = database().await;
    pause_in_the_insert(&mut stranger(&database).await, 1, 0.5).await;
    let (slow, fast) = (store(&database).await, store(&database).await);
    let follower = tokio::spawn(follow(store(&database).await, 2));
    let slowly = tokio::spawn(async move { slow.append(one("slow", Expected::Any)).await });
    until(&mut stranger(&database).await, ONE_SLEEPS).await;
    let fast = fast.append(one("fast", Expected::Any)).await.expect("appends").position;
    let slow = slowly.await.expect("no panic").expect("appends").position;
    assert!(slow < fast);
    let seen = tokio::time::timeout(PATIENCE, follower)
        .await
        .expect("the slow one is not skipped")
        .expect("no panic");
    let positions: Vec<_> = seen.iter().map(|event| event.position).collect();
    assert_eq!(positions, [slow, fast]);
}

/// The outcomes of appends that wait behind another one, so that they are there together when the lane is free.
async fn behind_another(
    database: &Database,
    store: &PostgresStore,
    appends: &[Append],
) -> Vec<Result<Appended, AppendError>> {
    let (mut slow, mut stranger) = (stranger(database).await, stranger(database).await);
    take_the_lock(&mut slow).await;
    let task = |append: Append| {
        let store = store.clone();
        tokio::spawn(async move { store.append(append).await })
    };
    let first = task(one("first", Expected::NoStream));
    until(&mut stranger, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    let mut tasks = Vec::new();
    for append in appends {
        tasks.push(task(append.clone()));
        // On the only thread, so that they queue in this order.
        tokio::task::yield_now().await;
    }
    run(&mut slow, "COMMIT").await;
    first.await.expect("no panic").expect("appends");
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("no panic"));
    }
    // No notice is under way when the only thread waits for the database to be deleted.
    tokio::time::sleep(Duration::from_millis(50)).await;
    outcomes
}

#[tokio::test]
async fn of_a_group_each_append_has_its_own_outcome() {
    let database = database().await;
    let store = store_with_one_lane(&database).await;
    let known = one("1", Expected::NoStream);
    let known_answer = store.append(known.clone()).await.expect("appends");

    let twin = one("twin", Expected::NoStream);
    let mut reused = one("other", Expected::Any);
    reused = Append::to(stream("other"), Expected::Any, {
        let mut events = reused.into_streams().remove(0).events;
        events[0].id = known.streams()[0].events[0].id;
        events
    });
    let appends = [
        one("1", Expected::Exactly(Version(1))),
        one("1", Expected::Exactly(Version(1))),
        twin.clone(),
        twin,
        known.clone(),
        reused,
        one("1", Expected::Exactly(Version(2))).and(stream("2"), Expected::NoStream, vec![event()]),
        one("3", Expected::NoStream).and(stream("1"), Expected::NoStream, vec![event()]),
    ];

    let outcomes = behind_another(&database, &store, &appends).await;

    let versions = |at: usize| {
        let appended = outcomes[at].as_ref().unwrap_or_else(|error| panic!("{at}: {error}"));
        appended.versions.iter().map(|version| version.0).collect::<Vec<_>>()
    };
    assert_eq!(versions(0), [2]);
    match &outcomes[1] {
        Err(AppendError::Conflict(Conflict { actual: Some(Version(2)), .. })) => {}
        other => panic!("expected a conflict with the one before, got {other:?}"),
    }
    assert_eq!(versions(2), [1]);
    assert_eq!(outcomes[2].as_ref().ok(), outcomes[3].as_ref().ok(), "the same append, the same answer");
    assert_eq!(outcomes[4].as_ref().ok(), Some(&known_answer));
    match &outcomes[5] {
        Err(AppendError::IdReused(IdReused { recorded_stream, .. })) => {
            assert_eq!(*recorded_stream, stream("1"));
        }
        other => panic!("expected a reused id, got {other:?}"),
    }
    assert_eq!(versions(6), [3, 1]);
    assert!(matches!(&outcomes[7], Err(AppendError::Conflict(_))), "{:?}", outcomes[7]);
    assert_eq!(events_of(&store, "3").await.len(), 0, "all streams of an append or none");

    // What was answered is what is there.
    let all = all_events(&store).await;
    for (append, outcome) in appends.iter().zip(&outcomes) {
        if let Ok(appended) = outcome {
            let last = append.events().last().expect("an append has an event").id;
            let recorded = all.iter().find(|event| event.id == last).expect("is there");
            assert_eq!((recorded.position, recorded.recorded_at), (appended.position, appended.recorded_at));
        }
    }
    assert_eq!(positions(&all), [1, 2, 3, 4, 5, 6], "a refused append draws no position");
}

#[tokio::test]
async fn appends_to_different_streams_share_a_transaction() {
    let database = database().await;
    let store = store_with_one_lane(&database).await;
    let appends = ["a", "b", "c"].map(|id| one(id, Expected::NoStream));
    assert!(behind_another(&database, &store, &appends).await.iter().all(Result::is_ok));
    let query = "SELECT count(DISTINCT xmin::text) FROM factum_events";
    assert_eq!(ask::<i64>(&mut stranger(&database).await, query).await, 2, "the first, and the group");
}

#[tokio::test]
async fn an_append_that_the_database_refuses_spoils_no_other() {
    let database = database().await;
    let refuse = "ALTER TABLE factum_events ADD CONSTRAINT no_poison CHECK (stream <> 'poison')";
    run(&mut stranger(&database).await, refuse).await;
    let store = store_with_one_lane(&database).await;
    let appends = ["a", "poison", "b"].map(|id| one(id, Expected::NoStream));
    let outcomes = behind_another(&database, &store, &appends).await;
    let failed: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(all_events(&store).await.len(), 3, "with the first one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_a_stream_that_somebody_is_writing_holds_up_no_other() {
    let database = database().await;
    let store = store_with_one_lane(&database).await;
    let other = crate::given::store(&database).await;
    let mut open = other.begin().await.expect("begins");
    other.append_in(&mut open, one("busy", Expected::NoStream)).await.expect("appends");

    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("busy", Expected::Any)).await }
    });
    for id in ["a", "b", "c"] {
        let append = tokio::time::timeout(Duration::from_secs(5), store.append(one(id, Expected::Any)));
        append.await.expect("does not wait").expect("appends");
    }
    assert!(!waiting.is_finished());
    other.commit(open).await.expect("commits");
    let appended = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert_eq!(appended.expect("appends").version(), Version(2));
}

#[tokio::test]
async fn appends_in_a_group_with_some_that_are_held_up_are_not_held_up_with_them() {
    let database = database().await;
    let store = store_with_one_lane(&database).await;
    let other = crate::given::store(&database).await;
    let mut open = other.begin().await.expect("begins");
    for id in ["busy 1", "busy 2"] {
        other.append_in(&mut open, one(id, Expected::NoStream)).await.expect("appends");
    }
    let task = |id: &str| {
        let (store, append) = (store.clone(), one(id, Expected::Any));
        tokio::spawn(async move { store.append(append).await })
    };
    // The first occupies the lane, and the others gather behind it.
    let mut tasks: Vec<_> = ["first", "busy 1", "busy 2", "a", "b", "c"].map(task).into();
    let held_up: Vec<_> = tasks.drain(1..3).collect();
    for task in tasks {
        let outcome = tokio::time::timeout(Duration::from_secs(5), task).await;
        outcome.expect("is not held up").expect("no panic").expect("appends");
    }
    assert!(held_up.iter().all(|task| !task.is_finished()));
    other.commit(open).await.expect("commits");
    for task in held_up {
        let outcome = tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic");
        assert_eq!(outcome.expect("appends").version(), Version(2));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_ignores_the_lock_is_noticed_by_the_constraints() {
    let database = database().await;
    let store = store(&database).await;
    let mut stranger = stranger(&database).await;
    let ignore = "BEGIN; INSERT INTO factum_events (position, event_id, category, stream, version, name, schema_version,
                                                    codec, payload, metadata, recorded_at)
                  SELECT nextval('factum_position'), gen_random_uuid(), 'order', id, 1, 'tested', 1, 'json', '1', '{}', now()
                  FROM unnest(ARRAY['any', 'new']) AS id";
    run(&mut stranger, ignore).await;
    // They do not see the stranger's rows when they look, and meet them when they write.
    let mut tasks = Vec::new();
    for (id, expected) in [("any", Expected::Any), ("new", Expected::NoStream)] {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.append(one(id, expected)).await }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    run(&mut stranger, "COMMIT").await;
    let new = tasks.pop().expect("two").await.expect("no panic");
    let any = tasks.pop().expect("two").await.expect("no panic");
    assert_eq!(any.expect("appends").version(), Version(2));
    match new {
        Err(AppendError::Conflict(Conflict {
            expected: Expected::NoStream,
            actual: Some(Version(1)),
            ..
        })) => {}
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_waits_for_somebody_else_only_so_long() {
    let database = database().await;
    let store = PostgresStore::builder()
        .answer_timeout(Duration::from_millis(400))
        .retry_for(Duration::ZERO)
        .connect(database.url())
        .await
        .expect("connects");
    let other = crate::given::store(&database).await;
    let mut open = other.begin().await.expect("begins");
    other.append_in(&mut open, one("1", Expected::NoStream)).await.expect("appends");
    let append = one("1", Expected::Any);
    let waiting = tokio::time::timeout(PATIENCE, store.append(append.clone()));
    assert_eq!(kind_of(waiting.await.expect("in time")), StoreErrorKind::Busy);
    // It was the server that gave up: nobody waits there any more.
    let nobody_waits = "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted)";
    until(&mut stranger(&database).await, nobody_waits).await;
    drop(open);
    assert_eq!(store.append(append).await.expect("appends").version(), Version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_has_its_own_settings_whatever_the_defaults_are() {
    let database = database().await;
    run(
        &mut stranger(&database).await,
        "CREATE TABLE seen (isolation text, synchronous text, patience text, silence text);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN
             INSERT INTO seen VALUES (current_setting(''transaction_isolation''),
                 current_setting(''synchronous_commit''), current_setting(''lock_timeout''),
                 current_setting(''idle_in_transaction_session_timeout''));
             RETURN NULL;
         END';
         CREATE TRIGGER look AFTER INSERT ON factum_events FOR EACH STATEMENT EXECUTE FUNCTION look();
         DO 'BEGIN
             EXECUTE format(''ALTER DATABASE %I SET default_transaction_isolation = serializable'', current_database());
             EXECUTE format(''ALTER DATABASE %I SET synchronous_commit = off'', current_database());
             EXECUTE format(''ALTER DATABASE %I SET lock_timeout = 1'', current_database());
         END'",
    )
    .await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one("2", Expected::Any)).await.expect("appends");
    store.commit(tx).await.expect("commits");
    let seen: Vec<(String, String, String, String)> = sqlx::query_as("SELECT * FROM seen")
        .fetch_all(&mut stranger(&database).await)
        .await
        .expect("was noted");
    let settings = |at: usize| (&*seen[at].1, &*seen[at].2, &*seen[at].3);
    assert_eq!(settings(0), ("on", "100ms", "0"));
    assert_eq!(settings(1), ("on", "15s", "30s"));
    assert_eq!(seen[1].0, "read committed");

    // They last until the transaction ends, whichever way the append went.
    let two = one("1", Expected::Any).and(stream("3"), Expected::Any, vec![event()]);
    for append in [one("1", Expected::Any), two] {
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, append).await.expect("appends");
        let query = "SELECT concat_ws(' ', current_setting('synchronous_commit'),
                                      current_setting('idle_in_transaction_session_timeout'))";
        assert_eq!(ask::<String>(&mut tx, query).await, "on 30s");
        drop(tx);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_default_is_serializable_takes_racing_appends() {
    let database = database().await;
    let serializable = "DO 'BEGIN
        EXECUTE format(''ALTER DATABASE %I SET default_transaction_isolation = serializable'', current_database());
    END'";
    run(&mut stranger(&database).await, serializable).await;
    let stores = [store(&database).await, store(&database).await, store(&database).await];
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let store = stores[number % 3].clone();
            tokio::spawn(async move { store.append(one("1", Expected::Any)).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("appends");
    }
    let events = events_of(&stores[0], "1").await;
    assert!(events.iter().map(|event| event.version.0).eq(1..=60));
    assert!(events.is_sorted_by_key(|event| event.position));
    assert_eq!(all_events(&stores[0]).await, events);
}
