//! Appends in the application's own transaction, and who hears of them.

use std::time::{Duration, Instant};

use factum_core::store::{Append, ReadStream, Uncommitted};
use factum_core::{
    AppendError, Checkpoint, Checkpoints, Conflict, EventStore, Expected, IdReused, Position, StoreErrorKind,
    StreamId, Transactional, Version,
};
use factum_postgres::{PostgresStore, PostgresTx};
use factum_testkit::Database;
use sqlx::Acquire as _;

use crate::given::{
    ALL_IS_QUIET, PATIENCE, all_events, ask, database, event, events_of, one, positions, run, store,
    stranger, stream, until,
};

/// Far longer than any test waits for a notice.
const RARELY: Duration = Duration::from_secs(20);

/// What is noticed by looking comes this late at the earliest, so that sooner is "at once".
const AT_ONCE: Duration = Duration::from_secs(2);

/// That somebody waits for a transaction of somebody else.
const ONE_WAITS: &str = "SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE NOT granted AND datname = current_database()";

async fn with_notes() -> (Database, PostgresStore) {
    let database = database().await;
    run(&mut stranger(&database).await, "CREATE TABLE notes (note text PRIMARY KEY)").await;
    let store = store(&database).await;
    (database, store)
}

async fn note(tx: &mut PostgresTx, note: &str) {
    sqlx::query("INSERT INTO notes VALUES ($1)").bind(note).execute(&mut **tx).await.expect("writes");
}

async fn notes(database: &Database) -> String {
    let query = "SELECT coalesce(string_agg(note, ' ' ORDER BY note), '') FROM notes";
    ask(&mut stranger(database).await, query).await
}

async fn seen_in(store: &PostgresStore, tx: &mut PostgresTx, stream: StreamId) -> Vec<u64> {
    let page = store.read_stream_in(tx, ReadStream::new(stream)).await.expect("reads");
    assert!(page.end);
    page.events.iter().map(|event| event.version.0).collect()
}

fn conflict(outcome: Result<Uncommitted, AppendError>) -> Conflict {
    match outcome {
        Err(AppendError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_events_are_committed_together_or_not_at_all() {
    let (database, store) = with_notes().await;
    for (id, is_committed) in [("kept", true), ("dropped", false)] {
        let mut tx = store.begin().await.expect("begins");
        note(&mut tx, id).await;
        let appended = store.append_in(&mut tx, one(id, Expected::NoStream)).await.expect("appends");
        assert_eq!(appended.versions(), [Version(1)]);
        assert_eq!(events_of(&store, id).await.len(), 0, "it is not committed yet");
        if is_committed {
            store.commit(tx).await.expect("commits");
            let events = events_of(&store, id).await;
            let appended = appended.committed();
            assert_eq!(
                (events[0].position, events[0].recorded_at),
                (appended.position, appended.recorded_at)
            );
        } else {
            drop(tx);
        }
    }
    assert_eq!(notes(&database).await, "kept");
    assert_eq!(events_of(&store, "dropped").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_leaves_the_transaction_as_it_was() {
    let (database, store) = with_notes().await;
    store.append(one("taken", Expected::NoStream)).await.expect("appends");
    let mut tx = store.begin().await.expect("begins");
    note(&mut tx, "before").await;
    store.append_in(&mut tx, one("before", Expected::NoStream)).await.expect("appends");
    let conflict = conflict(store.append_in(&mut tx, one("taken", Expected::NoStream)).await);
    assert_eq!((conflict.stream, conflict.actual), (stream("taken"), Some(Version(1))));
    // Nor does input that no store takes do any harm.
    let nothing = Append::to(stream("1"), Expected::Any, Vec::new());
    assert!(matches!(store.append_in(&mut tx, nothing).await, Err(AppendError::Invalid(_))));
    note(&mut tx, "then").await;
    store.append_in(&mut tx, one("taken", Expected::Exactly(Version(1)))).await.expect("appends");
    store.commit(tx).await.expect("commits");
    assert_eq!(notes(&database).await, "before then");
    assert_eq!((events_of(&store, "before").await.len(), events_of(&store, "taken").await.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_takes_any_number_of_appends_and_sees_them() {
    let (_database, store) = with_notes().await;
    let mut tx = store.begin().await.expect("begins");
    for version in 0..5 {
        let expected = if version == 0 { Expected::NoStream } else { Expected::Exactly(Version(version)) };
        let appended = store.append_in(&mut tx, one("1", expected)).await.expect("appends");
        assert_eq!(appended.versions(), [Version(version + 1)]);
        assert_eq!(seen_in(&store, &mut tx, stream("1")).await, (1..=version + 1).collect::<Vec<_>>());
    }
    conflict(store.append_in(&mut tx, one("1", Expected::Exactly(Version(4)))).await);
    store.append_in(&mut tx, one("2", Expected::Any)).await.expect("appends");
    store.commit(tx).await.expect("commits");
    let all = all_events(&store).await;
    assert_eq!(all.len(), 6);
    assert!(events_of(&store, "1").await.is_sorted_by_key(|event| event.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_several_streams_is_whole_or_refused_as_a_whole() {
    let (_database, store) = with_notes().await;
    store.append(one("taken", Expected::NoStream)).await.expect("appends");
    let to = |other: &str| {
        let two = Append::to(stream("first"), Expected::Any, vec![event(), event()]);
        two.and(stream(other), Expected::NoStream, vec![event()])
    };
    let mut tx = store.begin().await.expect("begins");
    conflict(store.append_in(&mut tx, to("taken")).await);
    assert_eq!(seen_in(&store, &mut tx, stream("first")).await, [0; 0]);
    let append = to("free");
    let appended = store.append_in(&mut tx, append.clone()).await.expect("appends");
    assert_eq!(appended.versions(), [Version(2), Version(1)]);
    store.commit(tx).await.expect("commits");
    let ids: Vec<_> = append.events().map(|event| event.id).collect();
    let recorded: Vec<_> = all_events(&store).await.into_iter().skip(1).map(|event| event.id).collect();
    assert_eq!(recorded, ids, "in the order of the append");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_repeated_answers_as_it_did_inside_and_outside() {
    let (_database, store) = with_notes().await;
    let before = one("before", Expected::NoStream);
    let of_before = store.append(before.clone()).await.expect("appends");
    let within = one("within", Expected::NoStream);
    let mut tx = store.begin().await.expect("begins");
    let of_within = store.append_in(&mut tx, within.clone()).await.expect("appends");
    let again = store.append_in(&mut tx, within.clone()).await.expect("is known");
    assert_eq!(again.committed(), of_within.clone().committed());
    let repeated = store.append_in(&mut tx, before.clone()).await.expect("is known");
    assert_eq!(repeated.committed(), of_before);
    // An id that stands elsewhere is no repetition, and spoils nothing.
    let elsewhere = Append::to(stream("elsewhere"), Expected::Any, before.into_streams().remove(0).events);
    match store.append_in(&mut tx, elsewhere).await {
        Err(AppendError::IdReused(IdReused { recorded_stream, .. })) => {
            assert_eq!(recorded_stream, stream("before"));
        }
        other => panic!("expected a reused id, got {other:?}"),
    }
    store.commit(tx).await.expect("commits");
    assert_eq!(store.append(within.clone()).await.expect("is known"), of_within.clone().committed());
    let mut tx = store.begin().await.expect("begins");
    let again = store.append_in(&mut tx, within).await.expect("is known");
    assert_eq!(again.committed(), of_within.committed());
    drop(tx);
    assert_eq!(all_events(&store).await.len(), 2);
}

/// What becomes of an append in a transaction that meets another one, which is open and then ends; and how many events
/// there are in the end.
async fn meeting(
    open: Append,
    append: Append,
    is_committed: bool,
) -> (Result<Uncommitted, AppendError>, usize) {
    let (database, store) = with_notes().await;
    let mut other = store.begin().await.expect("begins");
    store.append_in(&mut other, open).await.expect("appends");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            let mut tx = store.begin().await.expect("begins");
            note(&mut tx, "before").await;
            let outcome = store.append_in(&mut tx, append).await;
            note(&mut tx, "then").await;
            store.commit(tx).await.expect("goes on, whatever became of the append");
            outcome
        }
    });
    until(&mut stranger(&database).await, ONE_WAITS).await;
    if is_committed {
        store.commit(other).await.expect("commits");
    } else {
        drop(other);
    }
    let outcome = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert_eq!(notes(&database).await, "before then");
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    (outcome, all_events(&store).await.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_expect_the_same_version_one_wins() {
    let (lost, events) = meeting(one("1", Expected::NoStream), one("1", Expected::NoStream), true).await;
    assert_eq!((conflict(lost).actual, events), (Some(Version(1)), 1));
    let (won, events) = meeting(one("1", Expected::NoStream), one("1", Expected::NoStream), false).await;
    assert_eq!((won.expect("nobody is there").versions(), events), ([Version(1)].as_slice(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_expect_nothing_stand_one_after_the_other() {
    let (later, events) = meeting(one("1", Expected::Any), one("1", Expected::Any), true).await;
    assert_eq!((later.expect("appends").versions(), events), ([Version(2)].as_slice(), 2));
    let two = one("2", Expected::Any).and(stream("1"), Expected::Any, vec![event()]);
    let (later, events) = meeting(one("1", Expected::Any), two, true).await;
    assert_eq!((later.expect("appends").versions(), events), ([Version(1), Version(2)].as_slice(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_are_the_same_are_recorded_once() {
    let append = one("1", Expected::NoStream);
    let (same, events) = meeting(append.clone(), append, true).await;
    assert_eq!((same.expect("is known").versions(), events), ([Version(1)].as_slice(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_recorded_elsewhere_meanwhile_is_a_reused_one() {
    let append = one("1", Expected::NoStream);
    let elsewhere = Append::to(stream("2"), Expected::Any, append.clone().into_streams().remove(0).events);
    let (refused, events) = meeting(append, elsewhere, true).await;
    assert!(matches!(refused, Err(AppendError::IdReused(_))), "{refused:?}");
    assert_eq!(events, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_leaves_no_lock_and_no_event() {
    let (database, store) = with_notes().await;
    let holds = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 1717658484
                 AND objid = 'factum_events'::regclass AND mode = 'ShareLock')";
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
    assert!(ask::<bool>(&mut stranger(&database).await, holds).await, "the lock is shared, and held");
    drop(tx);
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    assert!(!ask::<bool>(&mut stranger(&database).await, holds).await);
    assert_eq!(store.append(one("1", Expected::NoStream)).await.expect("appends").version(), Version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_are_made_in_it_as_on_any_connection() {
    let (database, _) = with_notes().await;
    // One connection, so that the second turn meets what the first one leaves.
    let builder = PostgresStore::builder().max_connections(1).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    for turn in ["first", "second"] {
        let mut tx = store.begin().await.expect("begins");
        note(&mut tx, turn).await;
        for (id, is_kept) in [("kept", true), ("undone", false)] {
            let mut savepoint = tx.begin().await.expect("begins");
            sqlx::query("INSERT INTO notes VALUES ($1)")
                .bind(format!("{turn}-{id}"))
                .execute(&mut *savepoint)
                .await
                .expect("writes");
            if is_kept {
                savepoint.commit().await.expect("releases");
            } else {
                drop(savepoint);
            }
        }
        // Somebody forgets one.
        std::mem::forget(tx.begin().await.expect("begins"));
        if turn == "first" {
            drop(tx);
        } else {
            store.commit(tx).await.expect("commits");
        }
    }
    assert_eq!(notes(&database).await, "second second-kept");
}

/// What every way to go on says of a transaction that is over.
async fn refusals(store: &PostgresStore, lose: impl AsyncFn(&mut PostgresTx)) -> Vec<StoreErrorKind> {
    let mut kinds = Vec::new();
    for way in 0..4 {
        let mut tx = store.begin().await.expect("begins");
        note(&mut tx, "lost").await;
        lose(&mut tx).await;
        let refused = match way {
            0 => store.commit(tx).await,
            1 => tx.commit().await,
            2 => store.commit_with_checkpoint(tx, "s", Checkpoint::START, Position(1).into()).await,
            _ => match store.append_in(&mut tx, one("1", Expected::Any)).await {
                Err(AppendError::Store(error)) => Err(error),
                other => panic!("expected a refusal, got {other:?}"),
            },
        };
        kinds.push(refused.expect_err("nothing of it can be committed").kind().clone());
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_a_failed_statement_is_not_said_to_be_one() {
    let (database, store) = with_notes().await;
    let lose = async |tx: &mut PostgresTx| {
        // The application does not mind; but for Postgres the transaction is lost, and COMMIT a ROLLBACK.
        sqlx::query("SELECT 1 / 0").execute(&mut **tx).await.expect_err("fails");
    };
    assert_eq!(refusals(&store, lose).await, vec![StoreErrorKind::Other; 4]);
    assert_eq!(notes(&database).await, "");
    assert_eq!(store.checkpoint("s").await.expect("reads"), Checkpoint::START);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_sqlx_gave_up_does_nothing_more() {
    let (database, store) = with_notes().await;
    let lose = async |tx: &mut PostgresTx| {
        // Where the beginning of a savepoint is dropped, sqlx rolls back everything, and says so to nobody.
        // Where the server has answered before it was asked for its answer, it is begun and ended, and nothing is lost.
        for _ in 0..1000 {
            let mut beginning = std::pin::pin!(tx.begin());
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(beginning.as_mut().poll(context)));
            match polled.await {
                std::task::Poll::Pending => return,
                std::task::Poll::Ready(begun) => begun.expect("begins").rollback().await.expect("ends"),
            }
        }
        panic!("the server is never slower than the client");
    };
    assert_eq!(refusals(&store, lose).await, vec![StoreErrorKind::Busy; 4]);
    assert_eq!(notes(&database).await, "");
    assert_eq!(store.checkpoint("s").await.expect("reads"), Checkpoint::START);
    assert_eq!(events_of(&store, "1").await.len(), 0);
}

#[test]
fn a_transaction_may_be_dropped_where_there_is_no_runtime() {
    let runtime = tokio::runtime::Runtime::new().expect("starts");
    let (database, store, tx) = runtime.block_on(async {
        let database = database().await;
        let store = store(&database).await;
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        (database, store, tx)
    });
    drop(tx);
    runtime.block_on(async {
        until(&mut stranger(&database).await, ALL_IS_QUIET).await;
        store.append(one("1", Expected::NoStream)).await.expect("appends");
    });
}

async fn store_that_looks_rarely(database: &Database, notifications: bool) -> PostgresStore {
    let builder = PostgresStore::builder().poll_interval(RARELY).notifications(notifications);
    builder.connect(database.url()).await.expect("connects")
}

/// How long it takes until `reader`, which waits, hears of what `work` does.
async fn heard_after(reader: &PostgresStore, after: u64, work: impl Future<Output = ()>) -> Duration {
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move {
            reader.wait(Position(after)).await.expect("waits");
            Instant::now()
        }
    });
    // Long enough for it to look, to listen, and to be idle.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let begin = Instant::now();
    work.await;
    let heard = tokio::time::timeout(2 * RARELY, waiting).await.expect("in time").expect("no panic");
    heard.duration_since(begin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_heard_of_at_once_in_this_process() {
    let database = database().await;
    let store = store_that_looks_rarely(&database, false).await;
    let appending = async { drop(store.append(one("1", Expected::Any)).await.expect("appends")) };
    let took = heard_after(&store, 0, appending).await;
    assert!(took < AT_ONCE, "an append: {took:?}");
    let committing = async {
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        store.commit(tx).await.expect("commits");
    };
    let took = heard_after(&store, 1, committing).await;
    assert!(took < AT_ONCE, "a commit: {took:?}");
    let with_checkpoint = async {
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        let moved = store.commit_with_checkpoint(tx, "s", Checkpoint::START, Position(1).into());
        moved.await.expect("commits");
    };
    let took = heard_after(&store, 2, with_checkpoint).await;
    assert!(took < AT_ONCE, "a commit with a checkpoint: {took:?}");
    let by_itself = async {
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        tx.commit().await.expect("commits");
        store.wake();
    };
    let took = heard_after(&store, 3, by_itself).await;
    assert!(took < AT_ONCE, "a commit of the application's own: {took:?}");
    assert_eq!(store.checkpoint("s").await.expect("reads").position, Position(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_processes_hear_of_each_other_at_once() {
    let database = database().await;
    let stores =
        [store_that_looks_rarely(&database, true).await, store_that_looks_rarely(&database, true).await];
    for number in 0..6 {
        let (writer, reader) = (&stores[number % 2], &stores[(number + 1) % 2]);
        let after = number as u64;
        let took = if number < 4 {
            let appending = async { drop(writer.append(one("1", Expected::Any)).await.expect("appends")) };
            heard_after(reader, after, appending).await
        } else {
            let by_itself = async {
                let mut tx = writer.begin().await.expect("begins");
                writer.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
                tx.commit().await.expect("commits");
                writer.wake();
            };
            heard_after(reader, after, by_itself).await
        };
        assert!(took < AT_ONCE, "{number}: {took:?}");
    }
    assert_eq!(positions(&all_events(&stores[0]).await), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_connection_breaks_listens_again() {
    let database = database().await;
    let (reader, writer) =
        (store_that_looks_rarely(&database, true).await, store_that_looks_rarely(&database, true).await);
    let work = async {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        run(&mut stranger(&database).await, kill).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        writer.append(one("1", Expected::Any)).await.expect("appends");
    };
    let took = heard_after(&reader, 0, work).await;
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notices_others_are_found_by_looking() {
    let database = database().await;
    let interval = Duration::from_millis(200);
    let builder = PostgresStore::builder().poll_interval(interval).notifications(false);
    let reader = builder.connect(database.url()).await.expect("connects");
    let writer = store_that_looks_rarely(&database, false).await;
    let appending = async { drop(writer.append(one("1", Expected::Any)).await.expect("appends")) };
    assert!(heard_after(&reader, 0, appending).await < AT_ONCE);
    let connections = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND query ~ '^(NOTIFY|LISTEN)')";
    assert!(ask::<bool>(&mut stranger(&database).await, connections).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_held_up_is_heard_of_when_it_ends() {
    let database = database().await;
    let (reader, writer) =
        (store_that_looks_rarely(&database, true).await, store_that_looks_rarely(&database, true).await);
    let mut tx = writer.begin().await.expect("begins");
    writer.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
    writer.append(one("2", Expected::Any)).await.expect("appends");
    // Nobody tells of a rollback: whoever waits at the hole looks for himself, at growing intervals.
    let took = heard_after(&reader, 0, async { drop(tx) }).await;
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(positions(&all_events(&reader).await), [2]);
}
