//! Appends in the store's transaction: with everything that an append promises, at the commit and not before.

use factum_core::store::{Append, ReadStream};
use factum_core::{
    AppendError, Checkpoint, Checkpoints, EventStore, Expected, Position, Transactional, Version,
};

use crate::Fixture;
use crate::given::{events, ids_of, some, stream};
use crate::seen::{append, everything, ids, soon, versions, whole};

/// What was appended in a transaction is there after its commit, and not before.
pub async fn events_are_there_after_the_commit<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    let given = Append::to(stream("1"), Expected::Exactly(Version(2)), events(2));
    let mut tx = store.begin().await.expect("a transaction begins");
    let uncommitted = store.append_in(&mut tx, given.clone()).await.expect("it is as expected");
    assert_eq!(uncommitted.versions(), [Version(4)]);
    assert_eq!(versions(&whole(store, &stream("1")).await), [1, 2]);
    store.commit(tx).await.expect("it commits");
    let appended = uncommitted.committed();
    let read = whole(store, &stream("1")).await;
    assert_eq!((versions(&read), &ids(&read)[2..]), (vec![1, 2, 3, 4], &ids_of(&given)[..]));
    assert_eq!((appended.position, appended.recorded_at), (read[3].position, read[3].recorded_at));
    assert_eq!(everything(store).await, read);
    // And it is as if it had been appended otherwise.
    assert_eq!(store.append(given).await.expect("a repetition is answered"), appended);
}

/// What was appended in a transaction that was dropped never was.
pub async fn events_of_a_dropped_transaction_are_not_there<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for turn in 1..=20 {
        let given = some(&stream("1"), 2);
        let mut tx =
            soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        soon("an append", store.append_in(&mut tx, given.clone())).await.expect("nothing is expected");
        drop(tx);
        // Its ids and its versions are free.
        let other =
            Append::to(stream("1"), Expected::Any, given.into_streams().remove(0).events[..1].to_vec());
        let appended = soon("an append", append(store, other)).await;
        assert_eq!(appended.version(), Version(turn));
    }
    assert_eq!(everything(store).await.len(), 20);
}

/// A transaction sees what was appended in it, and decides on it.
pub async fn a_transaction_sees_its_own_events<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    let mut tx = store.begin().await.expect("a transaction begins");
    let first = Append::to(stream("1"), Expected::Exactly(Version(1)), events(1)).and(
        stream("2"),
        Expected::NoStream,
        events(2),
    );
    let second = Append::to(stream("1"), Expected::Exactly(Version(2)), events(1));
    let once = store.append_in(&mut tx, first.clone()).await.expect("it is as expected");
    store.append_in(&mut tx, second).await.expect("it is as expected");
    for (id, wanted) in [("1", vec![1, 2, 3]), ("2", vec![1, 2]), ("3", vec![])] {
        let forward =
            store.read_stream_in(&mut tx, ReadStream::new(stream(id))).await.expect("it can be read");
        assert_eq!((versions(&forward.events), forward.end), (wanted.clone(), true));
        let last = store.read_stream_in(&mut tx, ReadStream::last(stream(id))).await.expect("it can be read");
        assert_eq!(versions(&last.events).first(), wanted.last());
    }
    // A repetition in the same transaction answers as the first did.
    let again = store.append_in(&mut tx, first).await.expect("a repetition is answered");
    assert_eq!(again.committed(), once.committed());
    store.commit(tx).await.expect("it commits");
    assert_eq!(everything(store).await.len(), 5);
}

/// A conflict, or any other refusal, leaves the transaction as it was: what came before and after it is committed.
pub async fn a_refusal_leaves_the_transaction<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let known = some(&stream("1"), 1);
    append(store, known.clone()).await;
    let mut tx = store.begin().await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("2"), 1)).await.expect("nothing is expected");
    let stale = Append::to(stream("2"), Expected::NoStream, events(1)).and(
        stream("3"),
        Expected::NoStream,
        events(1),
    );
    match store.append_in(&mut tx, stale).await {
        Err(AppendError::Conflict(conflict)) => {
            assert_eq!((conflict.stream, conflict.actual), (stream("2"), Some(Version(1))));
        }
        other => panic!("expected a conflict, got {other:?}"),
    }
    let reused = Append::to(stream("4"), Expected::Any, known.into_streams().remove(0).events);
    let refused = store.append_in(&mut tx, reused).await;
    assert!(matches!(refused, Err(AppendError::IdReused(_))), "{refused:?}");
    let invalid = store.append_in(&mut tx, Append::to(stream("5"), Expected::Any, Vec::new())).await;
    assert!(matches!(invalid, Err(AppendError::Invalid(_))), "{invalid:?}");
    store.append_in(&mut tx, some(&stream("2"), 1)).await.expect("nothing is expected");
    store.commit(tx).await.expect("it commits");
    for (id, wanted) in [("1", 1), ("2", 2), ("3", 0), ("4", 0), ("5", 0)] {
        assert_eq!(whole(store, &stream(id)).await.len(), wanted, "in stream {id}");
    }
}

/// Law 4, for transactions: an append that happened before writes nothing, and says so, also where it happened in the same
/// transaction.
pub async fn a_repetition_is_told_from_an_append<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (before, now) = (some(&stream("1"), 2), some(&stream("1"), 1));
    let appended = append(store, before.clone()).await;
    let mut tx = store.begin().await.expect("a transaction begins");
    let again = store.append_in(&mut tx, before).await.expect("a repetition is answered");
    assert!(again.is_repeated());
    assert_eq!(again.committed(), appended);
    let written = store.append_in(&mut tx, now.clone()).await.expect("nothing is expected");
    assert!(!written.is_repeated());
    let again = store.append_in(&mut tx, now).await.expect("a repetition is answered");
    assert!(again.is_repeated());
    assert_eq!(again.versions(), written.versions());
    store.commit(tx).await.expect("it commits");
    assert_eq!(versions(&whole(store, &stream("1")).await), [1, 2, 3]);
}

/// Law 11, for events: they are committed with the checkpoint, or not at all.
pub async fn events_are_committed_with_the_checkpoint<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let first = append(store, some(&stream("1"), 1)).await.position;
    let mut tx = store.begin().await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("2"), 1)).await.expect("nothing is expected");
    let elsewhere = Checkpoint::from(Position(first.0 + 1));
    store.commit_with_checkpoint(tx, "s", elsewhere, first.into()).await.expect_err("it is elsewhere");
    assert_eq!(whole(store, &stream("2")).await.len(), 0);
    let mut tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("2"), 1)).await.expect("nothing is expected");
    store.commit_with_checkpoint(tx, "s", Checkpoint::START, first.into()).await.expect("it was there");
    assert_eq!(whole(store, &stream("2")).await.len(), 1);
    assert_eq!(store.checkpoint("s").await.expect("it is there").position, first);
}

/// Law 6: a stream's positions are in the order of its versions, also where a transaction began long before it appended.
pub async fn positions_are_in_the_order_of_versions<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for _ in 0..5 {
        let mut tx =
            soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        store.append_in(&mut tx, some(&stream("own"), 1)).await.expect("nothing is expected");
        store.append_in(&mut tx, some(&stream("1"), 2)).await.expect("nothing is expected");
        store.commit(tx).await.expect("it commits");
        append(store, some(&stream("1"), 1)).await;
    }
    let read = whole(store, &stream("1")).await;
    assert_eq!(versions(&read), (1..=15).collect::<Vec<_>>());
    assert!(read.is_sorted_by(|one, next| one.position < next.position));
}
