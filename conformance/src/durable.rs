//! What outlives the process: everything that was acknowledged, as it was.

use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{
    Checkpoints, Conflict, EventStore, Expected, IdReused, Metadata, NewEvent, Position, Version,
};

use crate::Fixture;
use crate::given::{event, event_named, events, ids_of, some, stream, stream_of};
use crate::seen::{append, checkpoint_moved, conflict, everything, id_reused, ids, soon, walk, whole};

/// Events are there after the store was opened again: in their streams, in the feed, in their order, with all they had.
pub async fn events_are_there_after_reopening<F: Fixture>(fixture: F) {
    let metadata = Metadata {
        actor: Some("somebody".into()),
        occurred_at: Some("2026-02-28T12:34:56.123456789Z".parse().expect("a time")),
        ..Metadata::default()
    };
    let odd = NewEvent { metadata, payload: vec![0, 255, 128].into(), ..event_named("odd") };
    append(fixture.store(), Append::to(stream("1"), Expected::NoStream, vec![odd, event()])).await;
    append(fixture.store(), some(&stream_of("cart", "1"), 3).and(stream("1"), Expected::Any, events(2)))
        .await;
    let before = everything(fixture.store()).await;
    let of_stream = whole(fixture.store(), &stream("1")).await;
    assert_eq!((before.len(), of_stream.len()), (7, 4));

    let fixture = fixture.reopen().await;
    assert_eq!(everything(fixture.store()).await, before);
    assert_eq!(whole(fixture.store(), &stream("1")).await, of_stream);
    let fixture = fixture.reopen().await;
    assert_eq!(everything(fixture.store()).await, before);
}

/// Versions go on where they were, and conflicts are as they would have been.
pub async fn versions_go_on_after_reopening<F: Fixture>(fixture: F) {
    append(fixture.store(), some(&stream("1"), 3)).await;
    let fixture = fixture.reopen().await;
    let store = fixture.store();
    let stale = Expected::Exactly(Version(2));
    let said = conflict(store.append(Append::to(stream("1"), stale, events(1))).await);
    assert_eq!(said, Conflict { stream: stream("1"), expected: stale, actual: Some(Version(3)) });
    conflict(store.append(Append::to(stream("1"), Expected::NoStream, events(1))).await);
    let answer = append(store, Append::to(stream("1"), Expected::Exactly(Version(3)), events(2))).await;
    assert_eq!(answer.versions, [Version(5)]);
}

/// Law 6: positions go on growing, and are not used again.
pub async fn positions_go_on_after_reopening<F: Fixture>(mut fixture: F) {
    let mut last = Position::START;
    for turn in 1..=4 {
        let answer = append(fixture.store(), some(&stream("1"), 2)).await;
        assert!(answer.position > last, "{} comes after {last}", answer.position);
        last = answer.position;
        // What failed leaves nothing behind that would confuse the order.
        conflict(fixture.store().append(Append::to(stream("1"), Expected::NoStream, events(1))).await);
        fixture = fixture.reopen().await;
        assert_eq!(everything(fixture.store()).await.len(), 2 * turn);
    }
}

/// Law 4: an append that is repeated after the store was opened again answers as the first did, and ids that were used
/// are still used.
pub async fn a_repeat_answers_as_the_first_did_after_reopening<F: Fixture>(fixture: F) {
    let one = Append::to(stream("1"), Expected::NoStream, events(2));
    let several = some(&stream("2"), 2).and(stream("1"), Expected::Exactly(Version(2)), events(1));
    let first = [append(fixture.store(), one.clone()).await, append(fixture.store(), several.clone()).await];
    let fixture = fixture.reopen().await;
    let store = fixture.store();
    let again = [append(store, one.clone()).await, append(store, several.clone()).await];
    assert_eq!(again, first);
    assert_eq!(ids(&everything(store).await), [ids_of(&one), ids_of(&several)].concat());
    let reused = one.events().next().expect("it has two").clone();
    let fact = IdReused {
        id: reused.id,
        stream: stream("3"),
        recorded_stream: stream("1"),
        recorded_version: Version(1),
    };
    assert_eq!(id_reused(store.append(Append::to(stream("3"), Expected::Any, vec![reused])).await), fact);
}

/// Checkpoints are where they were.
pub async fn checkpoints_are_there_after_reopening<F: Fixture>(fixture: F) {
    let first = append(fixture.store(), some(&stream("1"), 1)).await.position;
    let second = append(fixture.store(), some(&stream("1"), 1)).await.position;
    fixture.store().move_checkpoint("a", Position::START.into(), first.into()).await.expect("it was there");
    fixture.store().move_checkpoint("b", Position::START.into(), first.into()).await.expect("it was there");
    fixture.store().move_checkpoint("b", first.into(), second.into()).await.expect("it was there");
    let fixture = fixture.reopen().await;
    let store = fixture.store();
    for (name, at) in [("a", first), ("b", second), ("c", Position::START)] {
        assert_eq!(store.checkpoint(name).await.expect("it is there").position, at, "of {name}");
    }
    assert_eq!(
        checkpoint_moved(store.move_checkpoint("b", first.into(), first.into()).await),
        (first, second)
    );
    store.move_checkpoint("b", second.into(), first.into()).await.expect("it was there");
}

/// A reader goes on from where it was, also if that was where a filter let nothing pass.
pub async fn readers_go_on_after_reopening<F: Fixture>(fixture: F) {
    append(fixture.store(), some(&stream("1"), 3)).await;
    let last = append(fixture.store(), some(&stream("1"), 3)).await.position;
    let filter = Filter { categories: vec!["cart".into()], ..Filter::all() };
    let read = ReadAll::after(Position::START).filter(filter.clone()).limit(2);
    assert_eq!(walk(fixture.store(), read, last).await, []);
    let fixture = fixture.reopen().await;
    let store = fixture.store();
    let given = some(&stream("1"), 1).and(stream_of("cart", "1"), Expected::NoStream, events(2));
    let end = append(store, given.clone()).await.position;
    let passed = walk(store, ReadAll::after(last).filter(filter).limit(2), end).await;
    assert_eq!(ids(&passed), ids_of(&given)[1..]);
    let all = walk(store, ReadAll::after(last).limit(2), end).await;
    assert_eq!(ids(&all), ids_of(&given));
    // A reader that waits after it all is woken.
    let woken = soon("waking a reader", async {
        let reader = store.clone();
        let waiting = tokio::spawn(async move { reader.wait(end).await });
        append(store, some(&stream("1"), 1)).await;
        waiting.await.expect("waiting does not panic")
    });
    woken.await.expect("waiting is possible");
}
