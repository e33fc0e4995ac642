//! Waiting: a reader that has seen everything is woken by what comes next.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use factum_core::store::ReadAll;
use factum_core::{EventStore, Position, RecordedEvent};

use crate::Fixture;
use crate::given::{ids_of, some, stream};
use crate::race::race;
use crate::seen::{append, ids, soon, walk};

/// A reader that waits at the head is woken by an append, and then finds its events.
pub async fn an_append_wakes_a_reader<F: Fixture>(fixture: F) {
    let store = fixture.store().clone();
    let mut head = append(&store, some(&stream("1"), 1)).await.position;
    for turn in 0..10 {
        let reader = tokio::spawn(next(store.clone(), head));
        // So that the reader waits, mostly; it must find the event all the same if it does not yet.
        tokio::time::sleep(Duration::from_millis(5 * (turn % 3))).await;
        let given = some(&stream("1"), 2);
        head = append(&store, given.clone()).await.position;
        let found = soon("waking a reader", reader).await.expect("a reader does not panic");
        assert!(ids_of(&given).starts_with(&ids(&found)), "the reader finds what woke it");
    }
}

/// A reader that is behind does not wait.
pub async fn it_returns_at_once_when_there_is_something<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let first = append(store, some(&stream("1"), 1)).await.position;
    let last = append(store, some(&stream("1"), 1)).await.position;
    assert!(first < last);
    let read = ReadAll::after(Position::START).limit(10);
    walk(store, read, last).await;
    // Together in the time that one may take: a store that looks now and then whether there is something takes longer.
    soon("waiting 200 times for what is there", async {
        for after in [Position::START, first].into_iter().cycle().take(200) {
            store.wait(after).await.expect("waiting is possible");
        }
    })
    .await;
}

/// All who wait are woken, whichever clone of the store they wait on.
pub async fn all_who_wait_are_woken<F: Fixture>(fixture: F) {
    let store = fixture.store().clone();
    let head = append(&store, some(&stream("1"), 1)).await.position;
    let readers = (0..16).map(|_| tokio::spawn(next(store.clone(), head))).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let given = some(&stream("2"), 1);
    append(&store, given.clone()).await;
    for reader in readers {
        let found = soon("waking a reader", reader).await.expect("a reader does not panic");
        assert_eq!(ids(&found), ids_of(&given));
    }
}

/// Waiting may be given up at any time, which costs the store nothing: it can be read, appended to and waited on.
pub async fn it_may_be_given_up<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut head = append(store, some(&stream("1"), 1)).await.position;
    for turn in 0..200 {
        let mut waiting = pin!(store.wait(head));
        let _ = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        if turn % 50 == 0 {
            head = soon("an append", append(store, some(&stream("1"), 1))).await.position;
        }
    }
    let reader = tokio::spawn(next(store.clone(), head));
    let given = some(&stream("1"), 1);
    soon("an append", append(store, given.clone())).await;
    let found = soon("waking a reader", reader).await.expect("a reader does not panic");
    assert_eq!(ids(&found), ids_of(&given));
}

/// However many wait, others read and append: waiting occupies nothing that they need.
pub async fn those_who_wait_hold_up_nobody<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let head = append(store, some(&stream("1"), 1)).await.position;
    let readers = (0..200).map(|_| tokio::spawn(next(store.clone(), head))).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let given = some(&stream("1"), 1);
    let last = soon("an append", append(store, given.clone())).await.position;
    let read = ReadAll::after(head).limit(10);
    assert_eq!(ids(&soon("reading", walk(store, read, last)).await), ids_of(&given));
    for reader in readers {
        let found = soon("waking a reader", reader).await.expect("a reader does not panic");
        assert_eq!(ids(&found), ids_of(&given));
    }
}

/// No wake-up is lost between looking and waiting, however the two meet with appends.
pub async fn no_append_is_slept_through<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut head = Position::START;
    let begun = Instant::now();
    for turn in 0..200 {
        // A store that looks now and then may take some time for each.
        if turn >= 5 && begun.elapsed() > Duration::from_secs(5) {
            break;
        }
        let (reader, writer) = (store.clone(), store.clone());
        let write = async move { append(&writer, some(&stream("1"), 1)).await.position };
        let read = async move { next(reader, head).await.last().expect("it has found something").position };
        let both: [Pin<Box<dyn Future<Output = Position> + Send>>; 2] = [Box::pin(write), Box::pin(read)];
        let positions = race(both).await;
        assert_eq!(positions[0], positions[1], "the reader finds what was written");
        head = positions[0];
    }
}

/// The next events after a position, looking whenever waiting says that there may be some.
async fn next<S: EventStore>(store: S, after: Position) -> Vec<RecordedEvent> {
    loop {
        let read = ReadAll::after(after).limit(10);
        let page = store.read_all(read).await.expect("the feed can be read");
        if !page.events.is_empty() {
            return page.events;
        }
        store.wait(after).await.expect("waiting is possible");
    }
}
