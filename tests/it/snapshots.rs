//! Snapshots: when they are taken, who waits for them, and what becomes of those that are no good.

use std::time::Duration;

use factum::memory::MemoryStore;
use factum::snapshot::Snapshot;
use factum::{
    Aggregate, Apply, Codec, CommandId, Context, Event, Events, Handle, Inline, Loaded, OnFailure, Process,
    ProcessManager, React, Repository, Snapshots, StreamId, Transactional, Version,
};
use factum::{Envelope, EventHandler};
use serde::{Deserialize, Serialize, Serializer};

use crate::faulty::Faulty;
use crate::watched::{Asked, Saving, Watched};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "noted")]
struct Noted {
    number: u64,
}

struct Note(u64);

/// Aggregates of one category: what several versions of one program know of it.
macro_rules! journal {
    ($name:ident, $snapshot:expr, $version:literal, { $field:ident: $type:ty }) => {
        #[derive(Aggregate, Default, Serialize, Deserialize, Clone, Debug, PartialEq)]
        #[aggregate(category = "journal", id = u32, event = Noted, snapshot(when = $snapshot, version = $version))]
        struct $name {
            $field: $type,
        }

        impl Apply<Noted> for $name {
            fn apply(&mut self, event: Noted) {
                self.$field.push(event.number.try_into().unwrap());
            }
        }

        impl Handle<Note> for $name {
            type Error = std::convert::Infallible;

            fn handle(&self, command: &Note) -> Result<Events<Noted>, Self::Error> {
                Ok(Events::one(Noted { number: command.0 }))
            }
        }
    };
}

journal!(Journal, |_, events| events >= 3, 1, { numbers: Vec<u64> });
journal!(NewerJournal, |_, events| events >= 2, 2, { noted: Vec<i128> });
// Of the same version, although it has another shape: somebody forgot.
journal!(ChangedJournal, |_, events| events >= 3, 1, { others: Vec<u64> });
journal!(PanickingJournal, |_, _| panic!("it is no good"), 1, { numbers: Vec<u64> });

fn stream() -> StreamId {
    StreamId::new("journal", "1").unwrap()
}

/// Notes so many numbers, and gives the state that comes of it.
async fn note(store: &Watched, count: u64) -> Loaded<Journal> {
    let journals = Repository::<Journal>::new(store.clone());
    for number in 1..=count {
        journals.execute(&1, Note(number)).await.unwrap();
    }
    journals.load(&1).await.unwrap()
}

#[tokio::test]
async fn one_is_taken_when_so_much_has_happened_and_only_the_rest_is_read() {
    let store = Watched::default();
    let whole = note(&store, 2).await;
    assert_eq!((whole.numbers.len(), store.snapshot(&stream(), 1).await), (2, None));
    note(&store, 1).await;
    let snapshot = store.snapshot_at(&stream(), 1, 3).await;
    assert_eq!(snapshot.footing.version, Version(3));
    store.asked();

    let journals = Repository::<Journal>::new(store.clone());
    let journal = journals.load(&1).await.unwrap();
    assert_eq!(journal.numbers, [1, 2, 1]);
    assert_eq!(store.asked(), Asked { reads: 1, events: 0, appends: 0 });
    let journal = journals.execute(&1, Note(7)).await.unwrap();
    assert_eq!((&journal.numbers[..], journal.version()), (&[1, 2, 1, 7][..], Version(4)));
    assert_eq!(store.asked(), Asked { reads: 1, events: 0, appends: 1 });
    assert_eq!(journals.load(&1).await.unwrap(), journal);
    assert_eq!(store.asked(), Asked { reads: 1, events: 1, appends: 0 });
}

#[tokio::test]
async fn the_next_is_taken_after_as_many_events() {
    let store = Watched::default();
    for (count, at) in [(3, 3), (3, 6), (3, 9)] {
        note(&store, count).await;
        let snapshot = store.snapshot_at(&stream(), 1, at).await;
        assert_eq!(snapshot.footing.version, Version(at));
        assert!(snapshot.is_intact());
    }
}

#[tokio::test]
async fn nobody_waits_for_a_snapshot() {
    let store = Watched::new(Saving::Hangs);
    let journal = tokio::time::timeout(Duration::from_mins(1), note(&store, 20)).await;
    assert_eq!(journal.expect("no command waits").numbers.len(), 20);
}

#[tokio::test]
async fn a_snapshot_that_fails_fails_no_command() {
    let store = Watched::new(Saving::Fails);
    assert_eq!(note(&store, 20).await.numbers.len(), 20);
    assert_eq!(store.snapshot(&stream(), 1).await, None);
}

/// A state of which the program itself says that it is never to be written.
#[derive(Aggregate, Default, Deserialize, Clone, Debug)]
#[aggregate(category = "secret", id = u32, event = Noted, snapshot(every = 1, version = 1))]
struct Secret {
    count: u64,
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it is a secret")
    }
}

impl Apply<Noted> for Secret {
    fn apply(&mut self, _: Noted) {
        self.count += 1;
    }
}

impl Handle<Note> for Secret {
    type Error = std::convert::Infallible;

    fn handle(&self, command: &Note) -> Result<Events<Noted>, Self::Error> {
        Ok(Events::one(Noted { number: command.0 }))
    }
}

#[tokio::test]
async fn user_code_that_panics_fails_no_command() {
    let store = Watched::default();
    let journals = Repository::<PanickingJournal>::new(store.clone());
    let secrets = Repository::<Secret>::new(store.clone());
    for number in 1..=5 {
        assert_eq!(journals.execute(&1, Note(number)).await.unwrap().version(), Version(number));
        assert_eq!(secrets.execute(&1, Note(number)).await.unwrap().count, number);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(secrets.load(&1).await.unwrap().count, 5);
}

#[tokio::test]
async fn one_that_was_damaged_anywhere_is_passed_over() {
    let store = Watched::default();
    let whole = note(&store, 5).await;
    let good = store.snapshot_at(&stream(), 1, 3).await;
    let journals = Repository::<Journal>::new(store.clone());
    let keep = async |state: Vec<u8>| {
        store.now().delete_snapshots(&stream()).await.unwrap();
        assert!(store.now().save_snapshot(Snapshot { state: state.into(), ..good.clone() }).await.unwrap());
        journals.load(&1).await.unwrap()
    };
    for at in 0..good.state.len() {
        for bit in 0..8 {
            let mut state = good.state.to_vec();
            state[at] ^= 1 << bit;
            assert_eq!(keep(state).await, whole, "byte {at}, bit {bit}");
        }
        assert_eq!(keep(good.state[..at].to_vec()).await, whole, "cut at {at}");
    }
    store.asked();
    assert_eq!(keep(good.state.to_vec()).await, whole);
    assert_eq!(store.asked().events, 2, "the good one is used");
}

#[tokio::test]
async fn one_that_cannot_be_read_is_passed_over_and_replaced() {
    let store = Watched::default();
    let whole = note(&store, 4).await;
    store.snapshot_at(&stream(), 1, 3).await;
    let changed = Repository::<ChangedJournal>::new(store.clone());
    assert_eq!(changed.load(&1).await.unwrap().others, whole.numbers);
    changed.execute(&1, Note(9)).await.unwrap();
    store.snapshot_at(&stream(), 1, 5).await;
    assert_eq!(changed.load(&1).await.unwrap().others.len(), 5);
    assert_eq!(Repository::<Journal>::new(store.clone()).load(&1).await.unwrap().numbers.len(), 5);
    // Nor of a codec that this program does not know.
    let footing = store.snapshot(&stream(), 1).await.unwrap().footing;
    store.now().delete_snapshots(&stream()).await.unwrap();
    let foreign = Snapshot::new(stream(), 1, footing, "yaml", "numbers: []");
    assert!(store.now().save_snapshot(foreign).await.unwrap());
    assert_eq!(Repository::<Journal>::new(store.clone()).load(&1).await.unwrap().numbers.len(), 5);
}

#[tokio::test]
async fn an_older_and_a_newer_program_work_beside_each_other() {
    let store = Watched::default();
    let (older, newer) =
        (Repository::<Journal>::new(store.clone()), Repository::<NewerJournal>::new(store.clone()));
    for number in 1..=12 {
        if number % 2 == 0 {
            older.execute(&1, Note(number)).await.unwrap();
        } else {
            newer.execute(&1, Note(number)).await.unwrap();
        }
        let numbers: Vec<u64> = (1..=number).collect();
        assert_eq!(older.load(&1).await.unwrap().numbers, numbers);
        assert!(newer.load(&1).await.unwrap().noted.iter().zip(&numbers).all(|(a, b)| *a == i128::from(*b)));
    }
    let (old, new) = (store.snapshot_at(&stream(), 1, 9).await, store.snapshot_at(&stream(), 2, 9).await);
    assert!(old.is_intact() && new.is_intact());
}

#[tokio::test]
async fn a_store_without_snapshots_folds_all_events() {
    let journals = Repository::<Journal>::new(Faulty::new(MemoryStore::new(), []));
    for number in 1..=7 {
        journals.execute(&1, Note(number)).await.unwrap();
    }
    assert_eq!(journals.load(&1).await.unwrap().numbers, [1, 2, 3, 4, 5, 6, 7]);
}

/// Time is stopped: it goes on as soon as everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_command_in_a_transaction_has_one_taken_when_it_is_committed() {
    let store = MemoryStore::new();
    let journals = Repository::<Journal>::new(store.clone());
    let start = factum::snapshot::Start::Snapshot { shape: 1, up_to: Version::END };
    let found = async || {
        // Longer than anybody tries.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let read = factum::snapshot::ReadFrom::new(stream(), start);
        store.read_from(read).await.unwrap().found.version(&start)
    };
    let execute = async |count: u64| {
        let mut tx = store.begin().await.unwrap();
        for number in 1..=count {
            journals.execute(&1, Note(number)).within(&store, &mut tx).await.unwrap();
        }
        tx
    };
    let tx = execute(3).await;
    store.rollback(tx).await.unwrap();
    assert_eq!(found().await, Version(0), "it was rolled back");
    // The same version and the same ids, by other events before it: what was rolled back must not be remembered for them.
    let id = CommandId::from_key("the third");
    let mut tx = execute(2).await;
    journals.execute(&1, Note(3)).command_id(id).within(&store, &mut tx).await.unwrap();
    store.rollback(tx).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    journals.execute(&1, Note(10)).within(&store, &mut tx).await.unwrap();
    journals.execute(&1, Note(20)).within(&store, &mut tx).await.unwrap();
    journals.execute(&1, Note(3)).command_id(id).within(&store, &mut tx).await.unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(found().await, Version(3));
    assert_eq!(journals.load(&1).await.unwrap().numbers, [10, 20, 3]);
}

#[tokio::test]
async fn an_inline_projection_hands_snapshots_on() {
    struct Nothing;
    impl EventHandler<factum::memory::MemoryTx> for Nothing {
        const NAME: &'static str = "nothing";
        const INTERESTS: &'static [factum::Interest] = &[];
        type Error = std::convert::Infallible;

        async fn handle(
            &self,
            _: usize,
            _: &factum::RecordedEvent,
            _: &mut Context<factum::memory::MemoryTx>,
        ) -> Result<(), factum::HandleError<Self::Error>> {
            Ok(())
        }
    }
    let watched = Watched::default();
    let journals = Repository::<Journal>::new(Inline::new(watched.now()).handler(Nothing));
    for number in 1..=3 {
        journals.execute(&1, Note(number)).await.unwrap();
    }
    watched.snapshot_at(&stream(), 1, 3).await;
}

// A process is an aggregate, and remembers as one.

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "counted")]
struct Counted {
    number: u64,
}

#[derive(Aggregate, ProcessManager, Default, Serialize, Deserialize, Clone, Debug)]
#[aggregate(category = "count", id = u32, event = Counted, snapshot(every = 2, version = 1))]
#[process(name = "counting", on(Noted))]
struct Count {
    numbers: Vec<u64>,
}

impl Apply<Counted> for Count {
    fn apply(&mut self, event: Counted) {
        self.numbers.push(event.number);
    }
}

impl React<Noted> for Count {
    fn process(_: &Envelope<Noted>) -> Option<u32> {
        Some(1)
    }

    fn react(&self, event: &Envelope<Noted>) -> Events<Counted> {
        Events::one(Counted { number: event.event.number + self.numbers.len() as u64 })
    }
}

#[tokio::test]
async fn a_process_goes_on_from_a_snapshot() {
    let store = Watched::default();
    note(&store, 4).await;
    let process = Process::<Count, _>::new(store.now(), OnFailure::stop());
    process.catch_up().await.unwrap();
    let counts = StreamId::new("count", "1").unwrap();
    let snapshot = store.snapshot_at(&counts, 1, 2).await;
    let kept: Count = Codec::Json.decode(&snapshot.state).unwrap();
    assert_eq!(kept.numbers[..2], [1, 3]);
    note(&store, 1).await;
    process.catch_up().await.unwrap();
    assert_eq!(Repository::<Count>::new(store).load(&1).await.unwrap().numbers, [1, 3, 5, 7, 5]);
}
