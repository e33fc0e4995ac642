//! Snapshots: kept beside the log, and believed only where the log has what they stand on.

mod ledger;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use factum_core::retention::{Closing, Retention, TRUNCATED};
use factum_core::snapshot::{Footing, Found, PageFrom, ReadFrom, Snapshot, Snapshots, Start};
use factum_core::store::{Append, ReadStream, StreamPage};
use factum_core::transfer::Transfer;
use factum_core::{
    Codec, CommandId, Event as _, EventId, EventStore, ExecuteError, Expected, LoadError, Position,
    RecordedEvent, Repository, StreamId, Transactional, Version,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;

use self::ledger::{Ledger, Note, Noted, Twice};
use crate::Fixture;
use crate::given::{events, some, stream};
use crate::race::race;
use crate::seen::{append, everything, whole};

type Racer = Pin<Box<dyn Future<Output = bool> + Send>>;

fn snapshots<S: EventStore>(store: &S) -> &dyn Snapshots {
    store.snapshots().expect("a store without snapshots is enrolled `without(snapshots: \"the reason\")`")
}

/// What a state stands on that has all of these events.
fn footing_of(events: &[RecordedEvent]) -> Footing {
    let (first, last) = (events.first().expect("it has events"), events.last().expect("it has events"));
    let begins = if first.name.as_str() == TRUNCATED { first.version } else { Version::NONE };
    Footing { version: last.version, position: last.position, event_id: last.id, begins }
}

/// A snapshot of all of these events, whose state is their ids.
fn of_shape(shape: u32, events: &[RecordedEvent]) -> Snapshot {
    let stream = events.first().expect("it has events").stream.clone();
    Snapshot::new(stream, shape, footing_of(events), "json", state_of(events))
}

fn of(events: &[RecordedEvent]) -> Snapshot {
    of_shape(1, events)
}

/// The state that events add up to.
fn state_of(events: &[RecordedEvent]) -> Bytes {
    events.iter().flat_map(|event| *event.id.0.as_bytes()).collect()
}

async fn save<S: EventStore>(store: &S, snapshot: Snapshot) -> bool {
    snapshots(store).save_snapshot(snapshot).await.expect("it can be kept")
}

const ANY: Start = Start::Snapshot { shape: 1, up_to: Version::END };

async fn read<S: EventStore>(store: &S, read: ReadFrom) -> PageFrom {
    let start = read.start;
    let answer = snapshots(store).read_from(read).await.expect("it can be read");
    let after = answer.found.version(&start);
    assert!(
        answer.page.events.iter().all(|event| event.version > after),
        "the page begins after {after}: {answer:?}"
    );
    answer
}

async fn found<S: EventStore>(store: &S, stream: &StreamId, start: Start) -> Found {
    read(store, ReadFrom::new(stream.clone(), start)).await.found
}

/// A stream with so many events.
async fn given<S: EventStore>(store: &S, stream: &StreamId, count: usize) -> Vec<RecordedEvent> {
    append(store, some(stream, count)).await;
    whole(store, stream).await
}

/// A snapshot is what was kept, and comes with the events after it, and with no others.
pub async fn a_snapshot_comes_back_with_what_followed<F: Fixture>(fixture: F) {
    let store = fixture.store();
    given(store, &stream("other"), 3).await;
    let events = given(store, &stream("1"), 5).await;
    for at in 1..=5 {
        let state: Vec<u8> = (0..=255).cycle().take(at * 300).collect();
        let snapshot = Snapshot::new(stream("1"), 1, footing_of(&events[..at]), "json", state);
        assert!(save(store, snapshot.clone()).await);
        let PageFrom { found, page } = read(store, ReadFrom::new(stream("1"), ANY)).await;
        assert_eq!(found, Found::Snapshot(snapshot.clone()));
        assert!(snapshot.is_intact());
        assert_eq!(page, StreamPage { events: events[at..].to_vec(), end: true }, "after {at}");
    }
    let empty = Snapshot::new(stream("other"), 1, footing_of(&whole(store, &stream("other")).await), "x", "");
    assert!(save(store, empty.clone()).await);
    assert_eq!(found(store, &stream("other"), ANY).await, Found::Snapshot(empty));
}

/// A page after a snapshot is as long as was asked for, and says whether it is the end.
pub async fn pages_after_a_snapshot_join_to_the_whole<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 7).await;
    assert!(save(store, of(&events[..2])).await);
    for limit in 1..=6 {
        let PageFrom { found, page } = read(store, ReadFrom::new(stream("1"), ANY).limit(limit)).await;
        assert!(matches!(found, Found::Snapshot(_)));
        let mut rest = page.events;
        let mut end = page.end;
        assert_eq!((rest.len(), end), (limit.min(5), limit >= 5));
        while !end {
            let after = rest.last().expect("a page that is not the end has events").version;
            let next = ReadStream::new(stream("1")).after(after).limit(limit);
            let next = store.read_stream(next).await.expect("it can be read");
            rest.extend(next.events);
            end = next.end;
        }
        assert_eq!(rest, events[2..], "in pages of {limit}");
    }
    let bytes = ReadFrom { bytes: 1, ..ReadFrom::new(stream("1"), ANY) };
    let page = read(store, bytes).await.page;
    assert_eq!((page.events.len(), page.end), (1, false), "a page is bounded in bytes");
}

/// Where there is no snapshot, or none of the shape, the page is that of the stream.
pub async fn without_one_all_events_come<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let nothing = StreamPage { events: Vec::new(), end: true };
    let answer = read(store, ReadFrom::new(stream("1"), ANY)).await;
    assert_eq!(answer, PageFrom { found: Found::Nothing, page: nothing });
    let events = given(store, &stream("1"), 3).await;
    let others = given(store, &stream("2"), 3).await;
    assert!(save(store, of_shape(2, &events)).await && save(store, of(&others)).await);
    let answer = read(store, ReadFrom::new(stream("1"), ANY)).await;
    assert_eq!(answer, PageFrom { found: Found::Nothing, page: StreamPage { events, end: true } });
}

/// Footings of which a log has not everything.
fn wrong(events: &[RecordedEvent], other: &RecordedEvent) -> Vec<Footing> {
    let right = footing_of(events);
    vec![
        Footing { event_id: EventId::new(), ..right },
        Footing { event_id: events[0].id, ..right },
        Footing { event_id: other.id, ..right },
        Footing { version: Version(right.version.0 - 1), ..right },
        Footing { version: Version(right.version.0 + 1), ..right },
        Footing { version: Version(right.version.0 + 9), event_id: EventId::new(), ..right },
        Footing { begins: Version(1), ..right },
    ]
}

/// A state that the caller has stands if the log has its last event at its version, and the stream begins as it did. One
/// that does not is no reason to pass over events.
pub async fn a_state_that_stands_on_nothing_falls<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let other = given(store, &stream("other"), 4).await;
    let events = given(store, &stream("1"), 4).await;
    for at in 1..=4 {
        let answer = read(store, ReadFrom::new(stream("1"), Start::Footing(footing_of(&events[..at])))).await;
        let page = StreamPage { events: events[at..].to_vec(), end: true };
        assert_eq!(answer, PageFrom { found: Found::Footing, page }, "after {at}");
    }
    for footing in wrong(&events[..3], &other[2]) {
        let answer = read(store, ReadFrom::new(stream("1"), Start::Footing(footing))).await;
        let page = StreamPage { events: events.clone(), end: true };
        assert_eq!(answer, PageFrom { found: Found::Fallen(footing.version), page }, "{footing:?}");
    }
    let gone = read(store, ReadFrom::new(stream("none"), Start::Footing(footing_of(&events)))).await;
    assert_eq!((gone.found, gone.page.events.len()), (Found::Fallen(Version(4)), 0));
}

/// A snapshot of events that the log does not have is not kept, and does not take the place of one that is good.
pub async fn what_stands_on_nothing_is_not_kept<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let other = given(store, &stream("other"), 4).await;
    let events = given(store, &stream("1"), 4).await;
    let good = of(&events[..2]);
    for before in [None, Some(good)] {
        if let Some(good) = &before {
            assert!(save(store, good.clone()).await);
        }
        for footing in wrong(&events[..3], &other[2]) {
            assert!(!save(store, Snapshot::new(stream("1"), 1, footing, "json", "{}")).await, "{footing:?}");
        }
        assert!(!save(store, Snapshot::new(stream("none"), 1, footing_of(&events), "json", "{}")).await);
        let kept = before.map_or(Found::Nothing, Found::Snapshot);
        assert_eq!(found(store, &stream("1"), ANY).await, kept);
    }
}

/// Whoever wants an earlier state is given no later one.
pub async fn one_that_is_too_new_is_passed_over<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 5).await;
    let snapshot = of(&events[..3]);
    assert!(save(store, snapshot.clone()).await);
    for up_to in 0..=5 {
        let answer =
            read(store, ReadFrom::new(stream("1"), Start::Snapshot { shape: 1, up_to: Version(up_to) }))
                .await;
        let (kept, rest) = if up_to < 3 {
            (Found::Nothing, events.clone())
        } else {
            (Found::Snapshot(snapshot.clone()), events[3..].to_vec())
        };
        assert_eq!(answer, PageFrom { found: kept, page: StreamPage { events: rest, end: true } });
    }
}

/// Whoever looks for an event comes across it: a state that has it already is passed over.
pub async fn one_with_the_event_is_passed_over<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let other = given(store, &stream("other"), 2).await;
    let events = given(store, &stream("1"), 5).await;
    let snapshot = of(&events[..3]);
    assert!(save(store, snapshot.clone()).await);
    for start in [ANY, Start::Footing(snapshot.footing)] {
        for (at, event) in events.iter().enumerate() {
            let answer = read(store, ReadFrom::new(stream("1"), start).unless(Some(event.id))).await;
            assert!(
                at < 3 || answer.found != Found::Nothing,
                "the event comes after the state: it is no reason to pass over that"
            );
            assert!(
                answer.page.events.iter().any(|found| found.id == event.id),
                "event {} is not come across from {start:?}",
                at + 1
            );
        }
        for id in [other[0].id, EventId::new()] {
            let answer = read(store, ReadFrom::new(stream("1"), start).unless(Some(id))).await;
            assert_eq!(answer.page.events, events[3..], "it is no event of the stream");
        }
    }
}

/// What comes late does not set back what is there.
pub async fn an_older_one_never_replaces_a_newer<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 5).await;
    let newer = of(&events[..4]);
    assert!(save(store, newer.clone()).await);
    for at in 1..=3 {
        assert!(!save(store, of(&events[..at])).await);
        assert_eq!(found(store, &stream("1"), ANY).await, Found::Snapshot(newer.clone()));
    }
    let newest = of(&events);
    assert!(save(store, newest.clone()).await);
    assert_eq!(found(store, &stream("1"), ANY).await, Found::Snapshot(newest));
}

/// However they race, the newest is left.
pub async fn racing_writers_leave_the_newest<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..5 {
        let stream = stream(&round.to_string());
        let events = given(store, &stream, 8).await;
        race((1..=8).map(|at| {
            let (store, snapshot) = (store.clone(), of(&events[..at]));
            async move { save(&store, snapshot).await }
        }))
        .await;
        assert_eq!(found(store, &stream, ANY).await, Found::Snapshot(of(&events)));
    }
}

/// Two versions of a program that work beside each other do not take each other's snapshots away, and what is older than
/// both goes.
pub async fn two_shapes_are_kept_beside_each_other<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 6).await;
    let shape = |shape| Start::Snapshot { shape, up_to: Version::END };
    let kept = |of: u32| {
        let events = events.clone();
        async move {
            match found(store, &stream("1"), shape(of)).await {
                Found::Snapshot(snapshot) => {
                    assert_eq!(snapshot, of_shape(of, &events[..snapshot.state.len() / 16]));
                    snapshot.footing.version.0
                }
                other => {
                    assert_eq!(other, Found::Nothing);
                    0
                }
            }
        }
    };
    for (of, at, wanted) in [
        (1, 2, [2, 0, 0]),
        (2, 1, [2, 1, 0]),
        (1, 3, [3, 1, 0]),
        (2, 4, [3, 4, 0]),
        (3, 5, [0, 4, 5]),
        (1, 6, [6, 0, 5]),
    ] {
        assert!(save(store, of_shape(of, &events[..at])).await);
        assert_eq!([kept(1).await, kept(2).await, kept(3).await], wanted, "after shape {of} at {at}");
    }
}

/// Whoever deletes, archives or truncates a stream takes its snapshots away, of all shapes; others keep theirs.
pub async fn a_stream_that_is_set_apart_loses_them<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let other = given(store, &stream("other"), 3).await;
    assert!(save(store, of(&other)).await);
    for (id, how) in ["deleted", "archived", "truncated"].into_iter().zip(0..) {
        let stream = stream(id);
        let events = given(store, &stream, 4).await;
        assert!(save(store, of(&events)).await && save(store, of_shape(2, &events)).await);
        match how {
            0 => store.delete_stream(&stream, Expected::Any).await.map(drop),
            1 => store.archive_stream(&stream, Expected::Any).await.map(drop),
            _ => store.truncate_stream(&stream, Version(3)).await,
        }
        .expect("it is there");
        for shape in [1, 2] {
            let start = Start::Snapshot { shape, up_to: Version::END };
            assert_eq!(found(store, &stream, start).await, Found::Nothing, "{id}, shape {shape}");
        }
        // Nor does one come back that was under way.
        assert!(!save(store, of(&events)).await, "{id}");
        assert!(!save(store, of(&events[..3])).await, "{id}");
        assert_eq!(found(store, &stream, ANY).await, Found::Nothing, "{id}");
    }
    assert_eq!(found(store, &stream("other"), ANY).await, Found::Snapshot(of(&other)));
    // Restored, it may have one again.
    store.restore_stream(&stream("archived")).await.expect("it is archived");
    let restored = whole(store, &stream("archived")).await;
    assert_eq!(found(store, &stream("archived"), ANY).await, Found::Nothing);
    assert!(save(store, of(&restored)).await);
    let marker = restored.last().expect("it has events").clone();
    assert_ne!(marker.name.as_str(), Closing::Archived.event_name());
    assert_eq!(found(store, &stream("archived"), ANY).await, Found::Snapshot(of(&restored)));
}

/// A state that has what was truncated does not stand any more, although the log has its last event.
pub async fn a_truncated_stream_has_another_state<F: Fixture>(fixture: F) {
    let store = fixture.store();
    given(store, &stream("1"), 6).await;
    let mut known = Vec::new();
    for before in [1, 2, 4, 5] {
        store.truncate_stream(&stream("1"), Version(before)).await.expect("it has the version");
        let events = whole(store, &stream("1")).await;
        for footing in &known {
            let fallen = read(store, ReadFrom::new(stream("1"), Start::Footing(*footing))).await;
            let page = StreamPage { events: events.clone(), end: true };
            assert_eq!(fallen, PageFrom { found: Found::Fallen(footing.version), page }, "{footing:?}");
            assert!(!save(store, Snapshot::new(stream("1"), 1, *footing, "json", "{}")).await);
        }
        let footing = footing_of(&events);
        let stands = read(store, ReadFrom::new(stream("1"), Start::Footing(footing))).await;
        assert_eq!(stands.found, Found::Footing);
        assert!(save(store, of(&events)).await);
        known.push(footing);
    }
}

/// Where a stream is deleted while its snapshot is taken, none is left of what was to be forgotten.
pub async fn none_is_left_where_a_stream_is_deleted_meanwhile<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..20 {
        let stream = stream(&round.to_string());
        let events = given(store, &stream, 3).await;
        let writers = (1..=3).map(|at| {
            let (store, snapshot) =
                (store.clone(), of_shape(u32::try_from(at).expect("small"), &events[..at]));
            Box::pin(async move { save(&store, snapshot).await }) as Racer
        });
        let deleting = {
            let (store, stream) = (store.clone(), stream.clone());
            Box::pin(async move { store.delete_stream(&stream, Expected::Any).await.is_ok() }) as Racer
        };
        let done = race(writers.chain([deleting])).await;
        assert!(done.last().is_some_and(|deleted| *deleted));
        for shape in 1..=3 {
            let start = Start::Snapshot { shape, up_to: Version::END };
            assert_eq!(found(store, &stream, start).await, Found::Nothing, "shape {shape}");
        }
    }
}

/// Whoever asks for it has the snapshots of one stream forgotten.
pub async fn they_are_forgotten_where_it_is_asked<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (one, two) = (given(store, &stream("1"), 3).await, given(store, &stream("2"), 3).await);
    assert!(
        save(store, of(&one)).await && save(store, of_shape(2, &one)).await && save(store, of(&two)).await
    );
    snapshots(store).delete_snapshots(&stream("1")).await.expect("it can be forgotten");
    for shape in [1, 2] {
        let start = Start::Snapshot { shape, up_to: Version::END };
        assert_eq!(found(store, &stream("1"), start).await, Found::Nothing);
    }
    assert_eq!(found(store, &stream("2"), ANY).await, Found::Snapshot(of(&two)));
    snapshots(store).delete_snapshots(&stream("none")).await.expect("there is nothing to forget");
    assert!(save(store, of(&one[..1])).await, "an older one may be kept again");
}

/// A transaction reads from a snapshot, and sees after it what it has appended itself.
pub async fn a_transaction_reads_from_one<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 3).await;
    assert!(save(store, of(&events[..2])).await);
    let mut tx = store.begin().await.expect("a transaction begins");
    let on = Append::to(stream("1"), Expected::Exactly(Version(3)), self::events(2));
    let ids: Vec<_> = on.events().map(|event| event.id).collect();
    store.append_in(&mut tx, on).await.expect("nothing is in its way");
    let from = ReadFrom::new(stream("1"), ANY);
    let PageFrom { found: kept, page } =
        store.read_from_in(&mut tx, from.clone()).await.expect("it can be read");
    assert_eq!(kept, Found::Snapshot(of(&events[..2])));
    let seen: Vec<_> = page.events.iter().map(|event| event.id).collect();
    assert_eq!((seen, page.end), (vec![events[2].id, ids[0], ids[1]], true));
    let looked = store.read_from_in(&mut tx, from.clone().unless(Some(events[0].id))).await;
    assert_eq!(looked.expect("it can be read").page.events.len(), 5, "the whole stream, with its own");
    store.rollback(tx).await.expect("it is rolled back");
    assert_eq!(read(store, from).await.page.events, events[2..]);
}

/// A snapshot is no event: the log is as it was, and so is what an export has.
pub async fn they_are_no_part_of_the_log<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let events = given(store, &stream("1"), 3).await;
    everything(store).await;
    let log = async || {
        let records = store.read_records(Position::START, 1000, 1 << 20).await.expect("they can be read");
        (records, store.changes().await.expect("they are counted"), store.head().await.expect("it has one"))
    };
    let before = log().await;
    assert!(save(store, of(&events)).await);
    assert_eq!(log().await, before);
}

/// What is in the store, and what was given: the commands of which it came, one for each event.
struct Given<F: Fixture> {
    fixture: F,
    ledgers: Repository<Ledger>,
    events: Vec<RecordedEvent>,
}

const ID: u32 = 1;

fn command_id(number: u64) -> CommandId {
    CommandId::from_key(&format!("note {number}"))
}

impl<F: Fixture> Given<F> {
    async fn of(fixture: F, count: u64) -> Self {
        let ledgers = Repository::<Ledger>::new(fixture.store().clone());
        for number in 1..=count {
            ledgers.execute(&ID, Note(number)).command_id(command_id(number)).await.expect("it is new");
        }
        let stream = Repository::<Ledger>::stream(&ID).expect("it is a name");
        let events = whole(fixture.store(), &stream).await;
        Self { fixture, ledgers, events }
    }

    /// A snapshot of the state after so many of the events, and of no other.
    async fn remember(&self, count: usize) {
        let stream = &self.events[0].stream;
        snapshots(self.fixture.store()).delete_snapshots(stream).await.expect("it can be forgotten");
        if count > 0 {
            let footing = footing_of(&self.events[..count]);
            let state = Codec::Json.encode(&self.ledger_at(count)).expect("it has a JSON form");
            assert!(
                save(self.fixture.store(), Snapshot::new(stream.clone(), 1, footing, "json", state)).await
            );
        }
    }

    /// The state after the event with this version, as it has to be: erased events have left nothing.
    fn ledger_at(&self, version: usize) -> Ledger {
        let first = self.events[0].version.0;
        let noted = self.events.iter().filter(|event| event.version.0 < version as u64 + first);
        let noted = noted.filter(|event| event.name.as_str() == "ledger.noted");
        Ledger { noted: noted.map(|event| Noted::decode(event).expect("it can be read").0).collect() }
    }
}

/// A repository answers as it does without a snapshot, wherever that was taken: what it loads, now and at each version, and
/// what it says to commands, also to those that are repeated and whose events the snapshot has.
pub async fn repositories_answer_as_without_one<F: Fixture>(fixture: F) {
    const COUNT: u64 = 5;
    let given = Given::of(fixture, COUNT).await;
    let store = given.fixture.store();
    for taken_at in 0..=5 {
        given.remember(taken_at).await;
        for page_events in [1, 2, 500] {
            let ledgers = given.ledgers.clone().page_events(page_events);
            let now = ledgers.load(&ID).await.expect("it is there");
            assert_eq!((now.state(), now.version()), (&given.ledger_at(5), Version(COUNT)), "{taken_at}");
            assert_eq!(now.position(), given.events[4].position);
            for at in 1..=COUNT {
                let then = ledgers.load_at(&ID, Version(at)).await.expect("it has come that far");
                let wanted = given.ledger_at(usize::try_from(at).expect("small"));
                assert_eq!((then.state(), then.version()), (&wanted, Version(at)), "{taken_at}");
            }
            let far = ledgers.load_at(&ID, Version(COUNT + 1)).await;
            assert!(matches!(far, Err(LoadError::NoSuchVersion { last: Version(COUNT), .. })), "{far:?}");
        }
        for number in 1..=COUNT {
            let (ledgers, id) = (&given.ledgers, command_id(number));
            let wanted = given.ledger_at(usize::try_from(number).expect("small"));
            let again = ledgers.execute(&ID, Note(number)).command_id(id).await.expect("it was executed");
            assert_eq!((again.state(), again.version()), (&wanted, Version(number)), "{taken_at}");
            let expecting = ledgers.execute(&ID, Note(number)).command_id(id).expecting(Version(number - 1));
            assert_eq!(expecting.await.expect("it was executed").state(), &wanted);
            let assuming = ledgers.execute(&ID, Note(number)).command_id(id).assume_new();
            assert_eq!(assuming.await.expect("it was executed").state(), &wanted);
            let mut tx = store.begin().await.expect("a transaction begins");
            let within = ledgers.execute(&ID, Note(number)).command_id(id).within(store, &mut tx).await;
            assert_eq!(within.expect("it was executed").state(), &wanted, "{taken_at}");
            store.rollback(tx).await.expect("it is rolled back");
            // The same as another command is refused.
            let refused = ledgers.execute(&ID, Note(number)).await;
            assert!(matches!(refused, Err(ExecuteError::Rejected(Twice))), "{refused:?}");
        }
        let stale = given.ledgers.execute(&ID, Note(99)).expecting(Version(COUNT - 1)).await;
        assert!(matches!(stale, Err(ExecuteError::Conflict(_))), "{stale:?}");
    }
    assert_eq!(whole(store, &given.events[0].stream).await.len(), 5, "nothing was done twice");
}

/// A repository goes on from a snapshot: its commands see what came after it, also what their transaction has done.
pub async fn repositories_go_on_from_one<F: Fixture>(fixture: F) {
    let given = Given::of(fixture, 4).await;
    let store = given.fixture.store();
    given.remember(3).await;
    let after = given.ledgers.execute(&ID, Note(5)).await.expect("it is new");
    assert_eq!((&after.noted[..], after.version()), (&[1, 2, 3, 4, 5][..], Version(5)));
    let mut tx = store.begin().await.expect("a transaction begins");
    given.ledgers.execute(&ID, Note(6)).within(store, &mut tx).await.expect("it is new");
    let twice = given.ledgers.execute(&ID, Note(6)).within(store, &mut tx).await;
    assert!(matches!(twice, Err(ExecuteError::Rejected(Twice))), "{twice:?}");
    let seen = given.ledgers.execute(&ID, Note(7)).within(store, &mut tx).await.expect("it is new");
    assert_eq!(seen.state().noted, [1, 2, 3, 4, 5, 6, 7]);
    store.commit(tx).await.expect("it commits");
    assert_eq!(given.ledgers.load(&ID).await.expect("it is there").noted, [1, 2, 3, 4, 5, 6, 7]);
}

/// A truncated stream has the state that folding gives, whenever its snapshot was taken.
pub async fn repositories_load_what_is_left<F: Fixture>(fixture: F) {
    const COUNT: u64 = 4;
    let mut given = Given::of(fixture, COUNT).await;
    let store = given.fixture.store().clone();
    for before in 2..=COUNT {
        given.remember(given.events.len()).await;
        let stream = given.events[0].stream.clone();
        store.truncate_stream(&stream, Version(before)).await.expect("it has the version");
        given.events = whole(&store, &stream).await;
        let wanted: Vec<u64> = (before..=COUNT).collect();
        for taken_at in 0..=given.events.len() {
            given.remember(taken_at).await;
            let now = given.ledgers.load(&ID).await.expect("it is there");
            assert_eq!((&now.noted, now.version()), (&wanted, Version(COUNT)), "{before} {taken_at}");
        }
    }
    store.delete_stream(&given.events[0].stream, Expected::Any).await.expect("it is there");
    let gone = given.ledgers.load(&ID).await;
    assert!(matches!(gone, Err(LoadError::Closed(_))), "{gone:?}");
}

/// One thing that is done to a stream.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(usize),
    /// A snapshot is taken of the state after this part of the events.
    Snapshot {
        percent: usize,
        shape: u32,
    },
    Truncate {
        percent: usize,
    },
    ArchiveAndRestore,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_usize).prop_map(Step::Append),
        4 => (any::<usize>(), 1..3_u32).prop_map(|(at, shape)| Step::Snapshot { percent: at % 101, shape }),
        1 => any::<usize>().prop_map(|at| Step::Truncate { percent: at % 101 }),
        1 => Just(Step::ArchiveAndRestore),
    ]
}

/// Whatever is done to a stream, and whenever snapshots are taken: a snapshot and what followed have the state of all events.
pub async fn random_histories_have_one_state<F: Fixture>(fixture: F) {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let store = fixture.store();
    let number = AtomicUsize::new(0);
    let used = AtomicUsize::new(0);
    let outcome = TestRunner::new(config).run(&vec(a_step(), 1..24), |steps| {
        let stream = stream(&format!("h{}", number.fetch_add(1, Ordering::Relaxed)));
        tokio::task::block_in_place(|| {
            Handle::current().block_on(async {
                for step in steps {
                    take(store, &stream, step).await;
                    let found = compare(store, &stream).await?;
                    used.fetch_add(found, Ordering::Relaxed);
                }
                Ok(())
            })
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(used.into_inner() > 20, "the histories have hardly used a snapshot");
}

async fn take<S: EventStore + Retention>(store: &S, stream: &StreamId, step: Step) {
    let events = whole(store, stream).await;
    match step {
        Step::Append(count) => drop(append(store, some(stream, count)).await),
        _ if events.is_empty() => {}
        Step::Snapshot { percent, shape } => {
            let until = (events.len() * percent / 100).max(1);
            save(store, of_shape(shape, &events[..until])).await;
        }
        Step::Truncate { percent } => {
            let before = events[(events.len() - 1) * percent / 100].version;
            store.truncate_stream(stream, before).await.expect("it has the version");
        }
        Step::ArchiveAndRestore => {
            store.archive_stream(stream, Expected::Any).await.expect("it is there");
            store.restore_stream(stream).await.expect("it is archived");
        }
    }
}

/// How many snapshots there were that have, with what followed, the state of all events.
async fn compare<S: EventStore>(store: &S, stream: &StreamId) -> Result<usize, TestCaseError> {
    let events = whole(store, stream).await;
    let mut used = 0;
    for shape in [1, 2] {
        for up_to in [Version::END, Version(events.len() as u64 / 2)] {
            let answer = read(store, ReadFrom::new(stream.clone(), Start::Snapshot { shape, up_to })).await;
            let mut state = match answer.found {
                Found::Snapshot(snapshot) if snapshot.is_intact() && snapshot.footing.version <= up_to => {
                    used += 1;
                    snapshot.state.to_vec()
                }
                Found::Nothing => Vec::new(),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            state.extend_from_slice(&state_of(&answer.page.events));
            if state != state_of(&events) {
                return Err(TestCaseError::fail(format!("shape {shape} up to {up_to} has another state")));
            }
        }
    }
    Ok(used)
}
