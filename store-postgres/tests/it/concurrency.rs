//! Several processes on one log: nothing is lost, nothing is seen out of order.

use std::collections::HashSet;
use std::time::Duration;

use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{
    AppendError, Conflict, EventId, EventStore, Expected, IdReused, Position, RecordedEvent, StoreErrorKind,
    Version,
};
use factum_postgres::PostgresStore;

use crate::given::{
    ONE_WAITS_FOR_THE_LOCK, PATIENCE, all_events, database, event, events_of, kind_of, one, run, store,
    stranger, stream, take_the_lock, until,
};

/// Reads on until it has seen as many events.
async fn follow(store: PostgresStore, events: usize) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    let mut after = Position::START;
    while seen.len() < events {
        store.wait(after).await.expect("waits");
        let read = ReadAll { after, filter: Filter::all(), limit: 50 };
        let page = store.read_all(read).await.expect("reads");
        assert!(page.position >= after);
        after = page.position;
        seen.extend(page.events);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_lose_nothing_while_a_stranger_idles() {
    const PROCESSES: usize = 3;
    const TASKS: usize = 6;
    const APPENDS: usize = 60;
    let database = database().await;

    // A transaction that has written and looked, and then does nothing, here and in another database of the server.
    let elsewhere = crate::given::empty_database().await;
    let mut idle = [stranger(&database).await, stranger(&elsewhere).await];
    for idle in &mut idle {
        run(idle, "CREATE TABLE others (id int)").await;
        run(idle, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO others VALUES (1)").await;
    }

    let follower = tokio::spawn(follow(store(&database).await, PROCESSES * TASKS * APPENDS));
    let mut writers = Vec::new();
    for process in 0..PROCESSES {
        let store = store(&database).await;
        for task in 0..TASKS {
            let store = store.clone();
            writers.push(tokio::spawn(async move {
                let mut acknowledged: Vec<(EventId, Position)> = Vec::new();
                for number in 0..APPENDS {
                    // Half go where all others go, half to a stream of their own.
                    let id = if number % 2 == 0 { "shared".to_owned() } else { format!("{process}-{task}") };
                    let append = one(&id, Expected::Any);
                    let event = append.streams()[0].events[0].id;
                    let position = store.append(append).await.expect("appends").position;
                    assert!(
                        acknowledged.last().is_none_or(|(_, before)| *before < position),
                        "cause is respected"
                    );
                    acknowledged.push((event, position));
                }
                acknowledged
            }));
        }
    }
    let mut acknowledged = HashSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("no panic"));
    }
    let seen = tokio::time::timeout(PATIENCE, follower).await.expect("nothing is lost").expect("no panic");
    assert!(seen.is_sorted_by(|a, b| a.position < b.position), "each once, in order");
    let ids: HashSet<_> = seen.iter().map(|event| (event.id, event.position)).collect();
    assert_eq!(ids, acknowledged);
    let shared = events_of(&store(&database).await, "shared").await;
    assert!(shared.iter().map(|event| event.version.0).eq(1..=(PROCESSES * TASKS * APPENDS / 2) as u64));
    assert!(shared.is_sorted_by_key(|event| event.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_writer_is_not_passed_by_a_fast_one() {
    let database = database().await;
    // Writes to `order/slow` stop between the draw of their position and the commit.
    let pause = "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
                 CREATE TRIGGER pause AFTER INSERT ON factum_events FOR EACH ROW
                 WHEN (NEW.stream = 'slow') EXECUTE FUNCTION pause()";
    run(&mut stranger(&database).await, pause).await;
    let (slow, fast) = (store(&database).await, store(&database).await);
    let follower = tokio::spawn(follow(store(&database).await, 2));
    let slowly = tokio::spawn(async move { slow.append(one("slow", Expected::Any)).await });
    let sleeps = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    until(&mut stranger(&database).await, sleeps).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn of_a_group_each_append_has_its_own_outcome() {
    let database = database().await;
    let store = store(&database).await;
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
        one("first", Expected::Any),
        one("1", Expected::Exactly(Version(1))),
        one("1", Expected::Exactly(Version(1))),
        twin.clone(),
        twin,
        known.clone(),
        reused,
        one("1", Expected::Exactly(Version(2))).and(stream("2"), Expected::NoStream, vec![event()]),
        one("3", Expected::NoStream).and(stream("1"), Expected::NoStream, vec![event()]),
    ];

    // The first is under way and waits for the lock; so the others gather behind it and make one group.
    let mut slow = stranger(&database).await;
    take_the_lock(&mut slow).await;
    let mut tasks = Vec::new();
    for append in appends.clone() {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.append(append).await }));
        if tasks.len() == 1 {
            until(&mut stranger(&database).await, ONE_WAITS_FOR_THE_LOCK).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run(&mut slow, "COMMIT").await;
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("no panic"));
    }

    let versions = |at: usize| {
        let appended = outcomes[at].as_ref().unwrap_or_else(|error| panic!("{at}: {error}"));
        appended.versions.iter().map(|version| version.0).collect::<Vec<_>>()
    };
    assert_eq!((versions(0), versions(1)), (vec![1], vec![2]));
    match &outcomes[2] {
        Err(AppendError::Conflict(Conflict { actual: Some(Version(2)), .. })) => {}
        other => panic!("expected a conflict with its neighbour, got {other:?}"),
    }
    assert_eq!(versions(3), [1]);
    assert_eq!(outcomes[3].as_ref().ok(), outcomes[4].as_ref().ok(), "the same append, the same answer");
    assert_eq!(outcomes[5].as_ref().ok(), Some(&known_answer));
    match &outcomes[6] {
        Err(AppendError::IdReused(IdReused { recorded_stream, .. })) => {
            assert_eq!(*recorded_stream, stream("1"));
        }
        other => panic!("expected a reused id, got {other:?}"),
    }
    assert_eq!(versions(7), [3, 1]);
    assert!(matches!(&outcomes[8], Err(AppendError::Conflict(_))), "{:?}", outcomes[8]);
    assert_eq!(events_of(&store, "3").await.len(), 0, "all streams of an append or none");

    // What was answered is what is there, and all of the group was one transaction.
    let all = all_events(&store).await;
    for (append, outcome) in appends.iter().zip(&outcomes) {
        if let Ok(appended) = outcome {
            let last = append.events().last().expect("an append has an event").id;
            let recorded = all.iter().find(|event| event.id == last).expect("is there");
            assert_eq!((recorded.position, recorded.recorded_at), (appended.position, appended.recorded_at));
        }
    }
    assert_eq!(all.len(), 6);
    assert!(all.iter().map(|event| event.position.0).eq(1..=6), "a refused append draws no position");
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM factum_events")
        .fetch_one(&mut stranger(&database).await)
        .await
        .expect("counts");
    assert_eq!(transactions, 3, "one before, one alone, one for the group");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_the_database_refuses_spoils_no_other() {
    let database = database().await;
    let refuse = "ALTER TABLE factum_events ADD CONSTRAINT no_poison CHECK (stream <> 'poison')";
    run(&mut stranger(&database).await, refuse).await;
    let store = store(&database).await;
    let mut slow = stranger(&database).await;
    take_the_lock(&mut slow).await;
    let mut tasks = Vec::new();
    for id in ["first", "a", "poison", "b"] {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.append(one(id, Expected::NoStream)).await }));
        until(&mut stranger(&database).await, ONE_WAITS_FOR_THE_LOCK).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run(&mut slow, "COMMIT").await;
    let mut failed = Vec::new();
    for task in tasks {
        failed.push(task.await.expect("no panic").is_err());
    }
    assert_eq!(failed, [false, false, true, false]);
    assert_eq!(all_events(&store).await.len(), 3);
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

#[tokio::test]
async fn an_append_waits_for_its_turn_only_so_long() {
    let database = database().await;
    let store = PostgresStore::builder()
        .answer_timeout(Duration::from_millis(400))
        .connect(database.url())
        .await
        .expect("connects");
    let mut slow = stranger(&database).await;
    take_the_lock(&mut slow).await;
    let append = one("1", Expected::NoStream);
    let waiting = tokio::time::timeout(PATIENCE, store.append(append.clone()));
    assert_eq!(kind_of(waiting.await.expect("in time")), StoreErrorKind::Busy);
    // It was the server that gave up: nobody stays in the queue.
    until(
        &mut slow,
        "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    )
    .await;
    run(&mut slow, "COMMIT").await;
    assert_eq!(store.append(append).await.expect("appends").version(), Version(1));
}

#[tokio::test]
async fn an_append_has_its_own_settings_whatever_the_defaults_are() {
    let database = database().await;
    run(
        &mut stranger(&database).await,
        "CREATE TABLE seen (isolation text, synchronous text, silence text);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN
             INSERT INTO seen VALUES (current_setting(''transaction_isolation''),
                 current_setting(''synchronous_commit''), current_setting(''idle_in_transaction_session_timeout''));
             RETURN NULL;
         END';
         CREATE TRIGGER look AFTER INSERT ON factum_events FOR EACH STATEMENT EXECUTE FUNCTION look();
         DO 'BEGIN
             EXECUTE format(''ALTER DATABASE %I SET default_transaction_isolation = serializable'', current_database());
             EXECUTE format(''ALTER DATABASE %I SET synchronous_commit = off'', current_database());
         END'",
    )
    .await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let seen: (String, String, String) = sqlx::query_as("SELECT * FROM seen")
        .fetch_one(&mut stranger(&database).await)
        .await
        .expect("was noted");
    assert_eq!((&*seen.0, &*seen.1, &*seen.2), ("read committed", "on", "30s"));
}
