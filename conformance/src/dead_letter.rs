//! Dead letters: kept with the step that passes over the event, due in the order of their stream.

use factum_core::{
    Advance, Checkpoint, Checkpoints, DeadLetters, EventFacts, Failure, NewDeadLetter, Position,
    ReadDeadLetters, RecordedEvent, StoreErrorKind, Transactional,
};

use crate::Fixture;
use crate::given::{some, stream};
use crate::seen::{append, everything, soon};

/// A step keeps what it parks, with every fact, alone and in a transaction.
pub async fn a_step_keeps_what_it_parks<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    let errors = ["outermost", "", "\u{1f980} 'quoted\" and \\", "innermost"].map(str::to_owned).to_vec();
    let failure = Failure { handler: "mails".into(), errors };
    let failed = NewDeadLetter { failure: Some(failure), attempts: 7, ..failed(&feed[0]) };
    let (first, second) = (vec![failed, waiting(&feed[2])], vec![alone(&feed[3])]);
    store.advance(step(&feed, 0, 3, first.clone())).await.expect("it was there");
    let tx = store.begin().await.expect("a transaction begins");
    store.commit_with(tx, step(&feed, 3, 4, second.clone())).await.expect("it was there");

    let letters = store.dead_letters(ReadDeadLetters::of("s")).await.expect("they can be read");
    let kept: Vec<_> = letters.iter().map(|letter| letter.letter.clone()).collect();
    assert_eq!(kept, [first, second].concat());
    assert!(
        letters.iter().all(|letter| letter.subscription == "s" && letter.parked_at >= feed[0].recorded_at)
    );
    assert_eq!(letters.iter().map(|letter| letter.is_due).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(store.dead_letters(ReadDeadLetters::of("t")).await.expect("they can be read"), []);

    let positions = async |read: ReadDeadLetters| {
        let letters = store.dead_letters(read).await.expect("they can be read");
        letters.into_iter().map(|letter| letter.letter.event.position).collect::<Vec<_>>()
    };
    let all = ReadDeadLetters::of("s");
    assert_eq!(positions(all.clone().limit(2)).await, [feed[0].position, feed[2].position]);
    assert_eq!(positions(all.clone().limit(0)).await, [feed[0].position], "at least one");
    assert_eq!(positions(all.clone().after(feed[0].position)).await, [feed[2].position, feed[3].position]);
    assert_eq!(positions(all.clone().stream(feed[3].stream.clone())).await, [feed[3].position]);
    assert_eq!(positions(all.stream(stream("none"))).await, [Position::START; 0]);
}

/// A step that is refused parks and settles nothing, nor does a transaction that is dropped or rolled back.
pub async fn a_step_that_is_refused_keeps_nothing<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    store.advance(step(&feed, 0, 1, vec![failed(&feed[0])])).await.expect("it was there");
    let mut refused = step(&feed, 0, 2, vec![failed(&feed[1])]);
    refused.settled = vec![feed[0].position];
    let moved = store.advance(refused.clone()).await.expect_err("it is elsewhere");
    assert!(matches!(moved.kind(), StoreErrorKind::CheckpointMoved { .. }), "{moved:?}");
    let tx = store.begin().await.expect("a transaction begins");
    let moved = store.commit_with(tx, refused).await.expect_err("it is elsewhere");
    assert!(matches!(moved.kind(), StoreErrorKind::CheckpointMoved { .. }), "{moved:?}");
    let tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    store.rollback(tx).await.expect("it rolls back");
    assert_eq!(parked_at(store).await, [feed[0].position]);
    assert_eq!(store.checkpoint("s").await.expect("it is there"), Checkpoint::from(&feed[0]));
}

/// Of a stream, only the first is due, and only if it was asked for; then the next, which only waited, is due by itself.
pub async fn a_stream_is_due_in_its_order<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    // Events 1, 3 and 5 are of one stream.
    let letters = vec![failed(&feed[0]), waiting(&feed[2]), waiting(&feed[4])];
    store.advance(step(&feed, 0, 5, letters)).await.expect("it was there");
    let parked = store.parked("s", 10).await.expect("it can be read");
    assert_eq!((parked.streams, parked.due.len(), parked.count), (vec![feed[0].stream.clone()], 0, 3));

    assert!(
        !store.retry_dead_letter("s", feed[1].position).await.expect("it can be asked for"),
        "it is not parked"
    );
    assert!(
        !store.retry_dead_letter("t", feed[0].position).await.expect("it can be asked for"),
        "not by that one"
    );
    assert!(store.retry_dead_letter("s", feed[0].position).await.expect("it can be asked for"));
    assert_eq!(due(store).await, [feed[0].position]);
    for (settled, next) in [(0, vec![feed[2].position]), (2, vec![feed[4].position]), (4, vec![])] {
        let at = Checkpoint::from(&feed[4]);
        let step = Advance { settled: vec![feed[settled].position], ..Advance::new("s".into(), at, at) };
        let tx = store.begin().await.expect("a transaction begins");
        store.commit_with(tx, step).await.expect("it was there");
        assert_eq!(due(store).await, next);
    }
    assert_eq!(store.parked("s", 10).await.expect("it can be read"), factum_core::Parked::default());
}

/// One that is parked alone waits behind nobody, and nobody behind it.
pub async fn one_that_is_parked_alone_waits_behind_nobody<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    let letters = vec![failed(&feed[0]), alone(&feed[2]), alone(&feed[3])];
    store.advance(step(&feed, 0, 4, letters)).await.expect("it was there");
    let parked = store.parked("s", 10).await.expect("it can be read");
    assert_eq!((parked.streams, parked.due.len()), (vec![feed[0].stream.clone()], 0));
    for at in [2, 3] {
        assert!(store.retry_dead_letter("s", feed[at].position).await.expect("it can be asked for"));
    }
    assert_eq!(due(store).await, [feed[2].position, feed[3].position]);
    assert_eq!(store.parked("s", 1).await.expect("it can be read").due.len(), 1);
}

/// One that fails again is replaced, and is not due until it is asked for again.
pub async fn one_that_fails_again_is_replaced<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    store.advance(step(&feed, 0, 1, vec![failed(&feed[0])])).await.expect("it was there");
    store.retry_dead_letter("s", feed[0].position).await.expect("it can be asked for");
    let again = NewDeadLetter { attempts: 2, ..failed(&feed[0]) };
    let at = Checkpoint::from(&feed[0]);
    let step = Advance { parked: vec![again.clone()], ..Advance::new("s".into(), at, at) };
    store.advance(step).await.expect("it was there");
    let letters = store.dead_letters(ReadDeadLetters::of("s")).await.expect("they can be read");
    assert_eq!(letters.into_iter().map(|letter| letter.letter).collect::<Vec<_>>(), [again]);
    assert_eq!(due(store).await, [Position::START; 0]);
}

/// One that is dropped is gone, and the next of its stream is due.
pub async fn one_that_is_dropped_lets_the_next_follow<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = feed(store).await;
    store.advance(step(&feed, 0, 3, vec![failed(&feed[0]), waiting(&feed[2])])).await.expect("it was there");
    assert!(
        !store.drop_dead_letter("t", feed[0].position).await.expect("it can be dropped"),
        "not by that one"
    );
    assert!(store.drop_dead_letter("s", feed[0].position).await.expect("it can be dropped"));
    assert!(!store.drop_dead_letter("s", feed[0].position).await.expect("it can be dropped"), "it is gone");
    assert_eq!(due(store).await, [feed[2].position]);
}

/// Six events of two streams in turn.
async fn feed<S: factum_core::EventStore>(store: &S) -> Vec<RecordedEvent> {
    for _ in 0..3 {
        for id in ["1", "2"] {
            append(store, some(&stream(id), 1)).await;
        }
    }
    everything(store).await
}

/// From after so many events to after so many.
fn step(feed: &[RecordedEvent], from: usize, to: usize, parked: Vec<NewDeadLetter>) -> Advance {
    let at =
        |count: usize| count.checked_sub(1).map_or(Checkpoint::START, |last| Checkpoint::from(&feed[last]));
    Advance { parked, ..Advance::new("s".into(), at(from), at(to)) }
}

fn failed(event: &RecordedEvent) -> NewDeadLetter {
    let failure = Failure { handler: "mails".into(), errors: vec!["no paper".into()] };
    NewDeadLetter { event: EventFacts::from(event), holds_stream: true, attempts: 1, failure: Some(failure) }
}

fn waiting(event: &RecordedEvent) -> NewDeadLetter {
    NewDeadLetter { attempts: 0, failure: None, ..failed(event) }
}

fn alone(event: &RecordedEvent) -> NewDeadLetter {
    NewDeadLetter { holds_stream: false, ..failed(event) }
}

async fn parked_at(store: &impl DeadLetters) -> Vec<Position> {
    let letters = store.dead_letters(ReadDeadLetters::of("s")).await.expect("they can be read");
    letters.into_iter().map(|letter| letter.letter.event.position).collect()
}

async fn due(store: &impl DeadLetters) -> Vec<Position> {
    let parked = store.parked("s", 10).await.expect("it can be read");
    parked.due.into_iter().map(|letter| letter.letter.event.position).collect()
}
