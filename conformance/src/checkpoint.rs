//! Checkpoints: where a subscription is, moved only by those who know where it was.

use std::time::Duration;

use factum_core::store::{Filter, ReadAll};
use factum_core::{
    Advance, Checkpoint, Checkpoints, EventId, EventStore, Position, StoreErrorKind, Transactional,
};

use crate::Fixture;
use crate::given::{some, stream};
use crate::race::race;
use crate::seen::{append, checkpoint_moved, everything, ids, soon, versions, walk, whole};

/// The name of a subscription that has not begun is at the start.
pub async fn begins_at_the_start<F: Fixture>(fixture: F) {
    let store = fixture.store();
    assert_eq!(at(store, "new").await, Position::START);
    let [first, _] = two_positions(store).await;
    assert_eq!(at(store, "new").await, Position::START);
    store.move_checkpoint("other", Position::START.into(), first.into()).await.expect("it was there");
    assert_eq!(at(store, "new").await, Position::START);
}

/// A checkpoint moves from where it was, step by step, and every clone of the store sees it.
pub async fn moves_from_where_it_was<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    for (from, to) in [(Position::START, first), (first, second)] {
        store.move_checkpoint("s", from.into(), to.into()).await.expect("it was there");
        assert_eq!(at(store, "s").await, to);
        assert_eq!(at(&store.clone(), "s").await, to);
    }
}

/// A checkpoint may be moved to where it is, and back: a subscription that begins anew does.
pub async fn may_stay_and_may_go_back<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    let start = Position::START;
    for (from, to) in [(start, start), (start, second), (second, second), (second, first), (first, start)] {
        store.move_checkpoint("s", from.into(), to.into()).await.expect("it was there");
        assert_eq!(at(store, "s").await, to);
    }
    store.move_checkpoint("s", start.into(), first.into()).await.expect("it was there");
    assert_eq!(at(store, "s").await, first);
}

/// A checkpoint that is elsewhere does not move, and the error says where it was expected and where it is.
pub async fn refuses_to_move_from_elsewhere<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    // One that has not begun is at the start and nowhere else.
    assert_eq!(
        checkpoint_moved(store.move_checkpoint("s", first.into(), second.into()).await),
        (first, Position::START)
    );
    assert_eq!(at(store, "s").await, Position::START);
    store.move_checkpoint("s", Position::START.into(), second.into()).await.expect("it was there");
    for from in [Position::START, first] {
        for to in [first, second] {
            assert_eq!(
                checkpoint_moved(store.move_checkpoint("s", from.into(), to.into()).await),
                (from, second)
            );
            assert_eq!(at(store, "s").await, second);
        }
    }
}

/// Checkpoints of different names have nothing to do with each other, also where the names look alike.
pub async fn names_are_independent<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let long = "s".repeat(200);
    let longer = format!("{long}s");
    let names = [
        "s",
        "S",
        "s ",
        " s",
        "s%",
        "s_",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "a/b",
        "a",
        "'",
        "\u{1f980}",
        &long,
        &longer,
    ];
    let mut to = Vec::new();
    for _ in names {
        to.push(append(store, some(&stream("1"), 1)).await.position);
    }
    for (name, to) in names.iter().zip(&to) {
        assert_eq!(at(store, name).await, Position::START, "{name:?} has not begun");
        store.move_checkpoint(name, Position::START.into(), (*to).into()).await.expect("it was there");
    }
    for (name, to) in names.iter().zip(&to) {
        assert_eq!(at(store, name).await, *to, "{name:?} is where it was moved to");
    }
}

/// Of those who move a checkpoint at the same time one succeeds, and the others are told.
pub async fn one_of_those_who_move_it_wins<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..10 {
        let name = format!("s{round}");
        let mut targets = Vec::new();
        for _ in 0..8 {
            targets.push(append(store, some(&stream("1"), 1)).await.position);
        }
        let outcomes = race(targets.clone().into_iter().map(|to| {
            let (store, name) = (store.clone(), name.clone());
            async move { store.move_checkpoint(&name, Position::START.into(), to.into()).await }
        }))
        .await;
        let winners: Vec<_> =
            outcomes.iter().zip(&targets).filter(|(outcome, _)| outcome.is_ok()).map(|(_, to)| *to).collect();
        assert_eq!(winners.len(), 1, "exactly one of {} moves it", targets.len());
        assert_eq!(at(store, &name).await, winners[0]);
        for lost in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(checkpoint_moved(lost), (Position::START, winners[0]));
        }
    }
}

/// Checkpoints are no events: moving them changes nothing of what is recorded.
pub async fn moving_it_writes_no_event<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, _] = two_positions(store).await;
    let before = everything(store).await;
    store.move_checkpoint("s", Position::START.into(), first.into()).await.expect("it was there");
    checkpoint_moved(store.move_checkpoint("s", Position::START.into(), first.into()).await);
    assert_eq!(everything(store).await, before);
    assert_eq!(ids(&whole(store, &stream("1")).await), ids(&before));
}

/// A transaction moves the checkpoint when it is committed.
pub async fn a_transaction_moves_it<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    for (from, to) in [(Position::START, first), (first, second), (second, second)] {
        let tx = store.begin().await.expect("a transaction begins");
        assert_eq!(at(store, "s").await, from, "not before it is committed");
        store.commit_with_checkpoint(tx, "s", from.into(), to.into()).await.expect("it was there");
        assert_eq!(at(store, "s").await, to);
    }
    // It is the same checkpoint that is moved without a transaction.
    store.move_checkpoint("s", second.into(), first.into()).await.expect("it was there");
    let tx = store.begin().await.expect("a transaction begins");
    store.commit_with_checkpoint(tx, "s", first.into(), second.into()).await.expect("it was there");
    assert_eq!(at(store, "s").await, second);
    assert_eq!(at(store, "t").await, Position::START);
}

/// A transaction whose checkpoint is elsewhere is not committed, and the error has the facts.
pub async fn a_transaction_is_refused_when_it_is_elsewhere<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    let tx = store.begin().await.expect("a transaction begins");
    let said = checkpoint_moved(store.commit_with_checkpoint(tx, "s", first.into(), second.into()).await);
    assert_eq!(said, (first, Position::START));
    store.move_checkpoint("s", Position::START.into(), second.into()).await.expect("it was there");
    let tx = store.begin().await.expect("a transaction begins");
    let said =
        checkpoint_moved(store.commit_with_checkpoint(tx, "s", Position::START.into(), first.into()).await);
    assert_eq!(said, (Position::START, second));
    assert_eq!(at(store, "s").await, second);
    // Nothing is left open that others would wait for.
    soon("a move after a refused transaction", store.move_checkpoint("s", second.into(), first.into()))
        .await
        .expect("it was there");
}

/// A transaction that is dropped leaves the checkpoint where it was, and nobody waits for it.
pub async fn a_dropped_transaction_leaves_it<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    store.move_checkpoint("s", Position::START.into(), first.into()).await.expect("it was there");
    // More often than a store has connections to leak.
    for turn in 0..40 {
        let tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        drop(tx);
        assert_eq!(
            soon("reading the checkpoint", store.checkpoint("s")).await.expect("it is there").position,
            first
        );
        soon("an append", append(store, some(&stream("1"), 1))).await;
        assert_eq!(soon("reading the stream", whole(store, &stream("1"))).await.len(), 3 + turn);
    }
    soon("a move", store.move_checkpoint("s", first.into(), second.into())).await.expect("it was there");
    let tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    soon("a commit", store.commit_with_checkpoint(tx, "s", second.into(), first.into()))
        .await
        .expect("it was there");
    assert_eq!(at(store, "s").await, first);
}

/// While a transaction is open, readers go on: of streams, of the feed, and of checkpoints.
pub async fn an_open_transaction_stops_no_reader<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    let tx = store.begin().await.expect("a transaction begins");
    for turn in 0..3_u64 {
        let stream = soon("reading a stream", whole(store, &stream("1"))).await;
        assert_eq!(versions(&stream), [1, 2], "in turn {turn}");
        let read = ReadAll::after(Position::START).limit(10);
        let page = soon("reading the feed", store.read_all(read)).await.expect("the feed can be read");
        assert_eq!(page.events, stream);
        assert_eq!(
            soon("reading a checkpoint", store.checkpoint("s")).await.expect("it is there"),
            Checkpoint::START
        );
    }
    store.commit_with_checkpoint(tx, "s", Position::START.into(), second.into()).await.expect("it was there");
    assert_eq!(at(store, "s").await, second);
    assert!(second > first);
}

async fn at(store: &impl Checkpoints, name: &str) -> Position {
    store.checkpoint(name).await.expect("a checkpoint can be read").position
}

/// The positions of the first two events, which are in the feed by now.
async fn two_positions(store: &impl EventStore) -> [Position; 2] {
    let mut positions = [Position::START; 2];
    for position in &mut positions {
        *position = append(store, some(&stream("1"), 1)).await.position;
    }
    let read = ReadAll::after(Position::START).limit(10);
    assert_eq!(walk(store, read, positions[1]).await.len(), 2);
    positions
}

/// A transaction moves the checkpoints of several subscriptions, and one of them step by step; nobody sees it before.
pub async fn a_transaction_moves_several<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    let mut tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    for (name, from, to) in
        [("one", Position::START, first), ("two", Position::START, second), ("one", first, second)]
    {
        let step = Advance::new(name.into(), from.into(), to.into());
        store.advance_in(&mut tx, step).await.expect("it was there");
        assert_eq!(at(store, name).await, Position::START);
        let held = store.hold_checkpoint(&mut tx, &name.into()).await.expect("it can be read");
        assert_eq!(held.position, to, "the transaction sees its own step");
    }
    store.commit(tx).await.expect("it commits");
    assert_eq!((at(store, "one").await, at(store, "two").await), (second, second));
}

/// Of the steps of a transaction all are made or none: also where the last of them is refused, now or by its commit.
pub async fn of_several_all_are_moved_or_none<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    for (from, to) in [(first, second), (Position::START, Position(u64::MAX >> 2))] {
        let mut tx =
            soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        let sound = Advance::new("one".into(), Checkpoint::START, first.into());
        store.advance_in(&mut tx, sound).await.expect("it was there");
        let foreign = Checkpoint { position: to, event_id: Some(EventId::new()) };
        let unsound = Advance::new("two".into(), from.into(), foreign);
        match store.advance_in(&mut tx, unsound).await {
            Ok(()) => drop(store.commit(tx).await.expect_err("one of them was refused")),
            Err(_) => store.rollback(tx).await.expect("it is rolled back"),
        }
        assert_eq!((at(store, "one").await, at(store, "two").await), (Position::START, Position::START));
    }
}

/// Whoever has moved a checkpoint that a transaction holds did so after it, or the transaction was not committed.
pub async fn nobody_moves_what_a_transaction_holds<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let [first, second] = two_positions(store).await;
    store.move_checkpoint("s", Position::START.into(), first.into()).await.expect("it was there");
    for round in 0..5 {
        let (from, to) = if round % 2 == 0 { (first, second) } else { (second, first) };
        let mut tx =
            soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        let held = store.hold_checkpoint(&mut tx, &"s".into()).await.expect("it can be read");
        assert_eq!(held.position, from);
        let mover = tokio::spawn({
            let store = store.clone();
            async move { store.move_checkpoint("s", from.into(), to.into()).await }
        });
        // Long enough for whoever does not wait.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = at(store, "s").await;
        let outcome = store.commit(tx).await;
        assert!(outcome.is_err() || seen == from, "it was moved away, and the transaction was committed");
        soon("the move", mover).await.expect("no panic").expect("it was there");
        assert_eq!(at(store, "s").await, to);
    }
}

/// A checkpoint has the last event at or below its position: that of the page it was made of, and, where the caller did
/// not name one, that of the log.
pub async fn knows_its_log_again<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let feed = everything(store).await;
    let mut at = Checkpoint::START;
    for limit in [1, 2] {
        let page = store.read_all(ReadAll::after(at.position).limit(limit)).await.expect("it can be read");
        let last = page.events.last().map(Checkpoint::from);
        assert_eq!(Some(page.checkpoint), last);
        store.move_checkpoint("s", at, page.checkpoint).await.expect("it was there");
        assert_eq!(store.checkpoint("s").await.expect("it is there"), page.checkpoint);
        at = page.checkpoint;
    }
    // What passed over everything has the last event all the same.
    let none = Filter { categories: vec!["none".into()], ..Filter::all() };
    let page = store.read_all(ReadAll::after(Position::START).filter(none)).await.expect("it can be read");
    assert!(page.events.is_empty() && page.checkpoint.event_id.is_some(), "{page:?}");
    store.move_checkpoint("f", Checkpoint::START, page.checkpoint).await.expect("it was there");
    assert_eq!(store.checkpoint("f").await.expect("it is there"), page.checkpoint);
    // And so has one that was moved by its position alone.
    store.move_checkpoint("p", Checkpoint::START, feed[1].position.into()).await.expect("it was there");
    assert_eq!(store.checkpoint("p").await.expect("it is there"), Checkpoint::from(&feed[1]));
}

/// A checkpoint that was made from another log, at either end of a move, is an error and moves nothing, also in a
/// transaction.
pub async fn refuses_another_log<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let feed = everything(store).await;
    let [first, second] = [Checkpoint::from(&feed[0]), Checkpoint::from(&feed[1])];
    store.move_checkpoint("s", Checkpoint::START, first).await.expect("it was there");
    let foreign = |checkpoint: Checkpoint| Checkpoint { event_id: Some(EventId::new()), ..checkpoint };
    for (from, to) in [(foreign(first), second), (first, foreign(second))] {
        let moved = store.move_checkpoint("s", from, to).await.expect_err("it is another log");
        assert!(matches!(moved.kind(), StoreErrorKind::ForeignCheckpoint { .. }), "{moved:?}");
        let tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        let moved = store.commit_with_checkpoint(tx, "s", from, to).await.expect_err("it is another log");
        assert!(matches!(moved.kind(), StoreErrorKind::ForeignCheckpoint { .. }), "{moved:?}");
        assert_eq!(store.checkpoint("s").await.expect("it is there"), first);
    }
    store.move_checkpoint("s", first, second).await.expect("it was there");
}
