//! A stream that is moved is told once, on every store, whatever crashes at which step and whoever writes between.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::migrate::{MigrateError, Migrated, Migration};
use factum_core::retention::{Closing, Retention, is_reserved};
use factum_core::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage,
};
use factum_core::{
    AppendError, BoxError, EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position,
    RecordedEvent, Snapshots, StoreError, StoreErrorKind, StreamId, Tag, Version,
};
use factum_memory::MemoryStore;
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use factum_testkit::Postgres;
use tokio::sync::Notify;

/// What goes wrong at one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The program ends before the step.
    EndsBefore,
    /// The program ends after the step.
    EndsAfter,
    /// Nobody waits for the answer any longer: the future is dropped.
    Hangs,
    /// The step happens, and whether it did is not known.
    AnswerLost,
    /// Somebody appends to the old stream before the step.
    Overtaken,
    /// Somebody appends to the old stream before the step, and archives it.
    OvertakenAndArchived,
    /// The old stream was archived before; somebody restores it before the step, and appends to it.
    Restored,
}

const FAULTS: [Fault; 7] = [
    Fault::EndsBefore,
    Fault::EndsAfter,
    Fault::Hangs,
    Fault::AnswerLost,
    Fault::Overtaken,
    Fault::OvertakenAndArchived,
    Fault::Restored,
];

/// A store that counts the steps, and has a fault at one of them.
struct Faulty<S> {
    store: S,
    old: StreamId,
    fault: Fault,
    at: usize,
    steps: AtomicUsize,
    hangs: Arc<Notify>,
    /// What somebody else has appended.
    appended: Mutex<Vec<EventId>>,
}

impl<S: Retention> Faulty<S> {
    fn new(store: S, old: StreamId, fault: Fault, at: usize) -> Self {
        let (steps, hangs, appended) = (AtomicUsize::new(0), Arc::default(), Mutex::default());
        Self { store, old, fault, at, steps, hangs, appended }
    }

    fn has_struck(&self) -> bool {
        self.steps.load(Ordering::SeqCst) > self.at
    }

    /// A step that changes nothing: the outcome of those is never unknown.
    async fn look<T>(&self, step: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if self.fault == Fault::AnswerLost { step.await } else { self.step(step).await }
    }

    async fn step<T, E: From<StoreError>>(&self, step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        if self.steps.fetch_add(1, Ordering::SeqCst) != self.at {
            return step.await;
        }
        let kind = if self.fault == Fault::AnswerLost {
            StoreErrorKind::OutcomeUnknown
        } else {
            StoreErrorKind::Unavailable
        };
        match self.fault {
            Fault::EndsBefore => {}
            Fault::Overtaken | Fault::OvertakenAndArchived | Fault::Restored => {
                if self.fault == Fault::Restored {
                    // Unless it was deleted.
                    let _ = self.store.restore_stream(&self.old).await;
                }
                let event = event(&self.old, 7);
                let id = event.id;
                let append = Append::to(self.old.clone(), Expected::Any, vec![event]);
                // Where the stream is closed already, nobody can come between any more.
                if self.store.append(append).await.is_ok() {
                    self.appended.lock().expect("no panic").push(id);
                    if self.fault == Fault::OvertakenAndArchived {
                        self.store.archive_stream(&self.old, Expected::Any).await.expect("it is there");
                    }
                }
                return step.await;
            }
            Fault::EndsAfter | Fault::AnswerLost => drop(step.await?),
            Fault::Hangs => {
                step.await?;
                self.hangs.notify_one();
                std::future::pending::<()>().await;
            }
        }
        Err(StoreError::new(kind, "step").into())
    }
}

#[async_trait]
impl<S: Retention> EventStore for Faulty<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.step(self.store.append(append)).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.look(self.store.read_stream(read)).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.store.read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.store.read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.store.find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.store.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.store.snapshots()
    }
}

#[async_trait]
impl<S: Retention> Retention for Faulty<S> {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.step(self.store.delete_stream(stream, expected)).await
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.step(self.store.archive_stream(stream, expected)).await
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        self.step(self.store.restore_stream(stream)).await
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        self.step(self.store.truncate_stream(stream, before)).await
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.look(self.store.read_archived(read)).await
    }
}

fn event(stream: &StreamId, number: u64) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new("old.told").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: format!(r#"{{"of":"{stream}","number":{number}}}"#).into(),
        metadata: Metadata::default(),
    }
}

/// How many events are told for the one at a version: none, one, two, and again.
fn count(version: Version) -> u64 {
    (version.0 - 1) % 3
}

fn tell(old: &RecordedEvent) -> Result<Vec<NewEvent>, BoxError> {
    let told = |number| {
        let payload = format!(r#"{{"of":"{}","number":{number}}}"#, old.id).into();
        Ok(NewEvent { name: EventName::new("new.told")?, payload, ..event(&old.stream, 0) })
    };
    (0..count(old.version)).map(told).collect()
}

fn stream(category: &str, id: &str) -> StreamId {
    StreamId::new(category, id).expect("a stream")
}

async fn whole(store: &impl Retention, stream: &StreamId) -> Vec<RecordedEvent> {
    let page = store.read_stream(ReadStream::new(stream.clone())).await.expect("it can be read");
    assert!(page.end, "a few events are one page");
    page.events
}

/// An old stream of eight events, the first of which has all that can be known of one.
async fn fill(store: &impl Retention, old: &StreamId) -> Vec<EventId> {
    let mut events: Vec<_> = (1..=8).map(|number| event(old, number)).collect();
    events[1].metadata = Metadata {
        correlation_id: Some(EventId::new().0),
        causation_id: Some(EventId::new()),
        actor: Some("Ada".into()),
        occurred_at: DateTime::<Utc>::from_timestamp(1_000_000, 0),
        tags: [Tag::new("order:7").expect("a tag")].into(),
        fields: [("tenant".to_owned(), "north".to_owned())].into(),
    };
    let ids = events.iter().map(|event| event.id).collect();
    store.append(Append::to(old.clone(), Expected::NoStream, events)).await.expect("it is new");
    ids
}

/// Each old event is told once, in order, with all that was known of it.
fn assert_told(old: &[RecordedEvent], new: &[RecordedEvent], what: &str) {
    let told: Vec<_> =
        old.iter().flat_map(|event| (0..count(event.version)).map(move |number| (event, number))).collect();
    assert_eq!(new.len(), told.len(), "{what}: what was told");
    for (index, (new, (old, number))) in new.iter().zip(told).enumerate() {
        assert_eq!(new.version, Version(index as u64 + 1), "{what}");
        assert_eq!(new.payload, format!(r#"{{"of":"{}","number":{number}}}"#, old.id), "{what}");
        let expected = Metadata {
            correlation_id: Some(old.correlation_id()),
            occurred_at: Some(old.metadata.occurred_at.unwrap_or(old.recorded_at)),
            ..old.metadata.clone()
        };
        assert_eq!(new.metadata, expected, "{what}");
    }
}

/// Runs with a fault at each step in turn, until there is no such step, and again without.
async fn whatever_happens(store: &(impl Retention + Clone), fault: Fault, closing: Closing) -> usize {
    for at in 0.. {
        let what = format!("{fault:?} at step {at}, {closing}");
        let id = format!("{fault:?}-{at}-{closing}");
        let (old, new) = (stream("old", &id), stream("new", &id));
        let mut ids = fill(store, &old).await;
        let before = whole(store, &old).await;
        if fault == Fault::Restored {
            store.archive_stream(&old, Expected::Any).await.expect("it is there");
        }
        let migration = |store| {
            let migration = Migration::new(store, old.clone(), new.clone()).batch_events(2);
            if closing == Closing::Deleted { migration.and_delete() } else { migration }
        };

        let faulty = Faulty::new(store.clone(), old.clone(), fault, at);
        let first = tokio::select! {
            outcome = migration(&faulty).run(tell) => Some(outcome),
            () = faulty.hangs.notified() => None,
        };
        if !faulty.has_struck() {
            assert_eq!(first.expect("nothing hangs").expect("nothing fails").written, 7);
            return at;
        }
        let overtaken = faulty.appended.lock().expect("no panic").clone();
        ids.extend(&overtaken);
        let is_to_go_on = !matches!(fault, Fault::EndsBefore | Fault::EndsAfter | Fault::Hangs);
        if is_to_go_on {
            first.expect("nothing hangs").unwrap_or_else(|error| panic!("{what}: {error}"));
        }

        let again = migration_without_fault(store, &old, &new, closing).await;
        let again = again.unwrap_or_else(|error| panic!("{what}, repeated: {error}"));
        assert!(!is_to_go_on || again.written == 0, "{what}: it has told all there was");
        let third = migration_without_fault(store, &old, &new, closing).await.expect("as before");
        assert_eq!(third.written, 0, "{what}: nothing is told twice, after {again:?}");

        let told = whole(store, &new).await;
        let last = whole(store, &old).await;
        assert_eq!(last.len(), 1, "{what}: the old stream is closed");
        assert_eq!(Closing::of_event(last[0].name.as_str()), Some(closing), "{what}");
        if closing == Closing::Archived {
            let mut archived =
                store.read_archived(ReadStream::new(old.clone())).await.expect("it is there").events;
            archived.retain(|event| !is_reserved(event.name.as_str()));
            assert_eq!(archived.iter().map(|event| event.id).collect::<Vec<_>>(), ids, "{what}");
            assert_told(&archived, &told, &what);
        } else if overtaken.is_empty() {
            assert_told(&before, &told, &what);
        } else {
            // What has come between is gone by now. Where it was restored, two events of the framework came before it.
            let version = if fault == Fault::Restored { Version(11) } else { Version(9) };
            assert_eq!(told.len() as u64, 7 + count(version), "{what}");
        }
    }
    unreachable!("a migration ends")
}

async fn migration_without_fault(
    store: &impl Retention,
    old: &StreamId,
    new: &StreamId,
    closing: Closing,
) -> Result<Migrated, MigrateError> {
    let migration = Migration::new(store, old.clone(), new.clone()).batch_events(3);
    let migration = if closing == Closing::Deleted { migration.and_delete() } else { migration };
    migration.run(tell).await
}

async fn is_told_once(store: impl Retention + Clone) {
    for closing in [Closing::Archived, Closing::Deleted] {
        for fault in FAULTS {
            let steps = whatever_happens(&store, fault, closing).await;
            // Two streams are read, seven events are written by twos, and one stream is closed, if it was not before.
            assert!(steps >= 5, "{fault:?}, {closing}: {steps}");
        }
    }
    two_at_once_are_one(&store).await;
    what_others_write_to_the_new_stream_is_left_alone(&store).await;
}

async fn two_at_once_are_one(store: &(impl Retention + Clone)) {
    for round in 0..10 {
        let (old, new) = (stream("old", &format!("race-{round}")), stream("new", &format!("race-{round}")));
        fill(store, &old).await;
        let (left, right) = (store.clone(), store.clone());
        let run = |store, batch| {
            let (old, new) = (old.clone(), new.clone());
            async move { Migration::new(&store, old, new).batch_events(batch).run(tell).await }
        };
        let (left, right) = tokio::join!(tokio::spawn(run(left, 2)), tokio::spawn(run(right, 3)));
        left.expect("no panic").expect("it is told");
        right.expect("no panic").expect("it is told");
        let archived = store.read_archived(ReadStream::new(old)).await.expect("it is there");
        assert_told(&archived.events, &whole(store, &new).await, "two at once");
    }
}

async fn what_others_write_to_the_new_stream_is_left_alone(store: &(impl Retention + Clone)) {
    let (old, new) = (stream("old", "shared"), stream("new", "shared"));
    fill(store, &old).await;
    let other = event(&new, 0);
    store.append(Append::to(new.clone(), Expected::Any, vec![other.clone()])).await.expect("it is new");
    let moved = Migration::new(store, old.clone(), new.clone()).run(tell).await.expect("it is told");
    assert_eq!(moved, Migrated { read: 8, written: 7, found: 0 });
    store.append(Append::to(new.clone(), Expected::Any, vec![event(&new, 1)])).await.expect("it goes on");
    let moved = Migration::new(store, old, new.clone()).run(tell).await.expect("it was told");
    assert_eq!(moved, Migrated { read: 8, written: 0, found: 7 });
    let told = whole(store, &new).await;
    assert_eq!((told.len(), told[0].id), (9, other.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_moved_once_whatever_crashes_in_memory() {
    is_told_once(MemoryStore::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_moved_once_whatever_crashes_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::connect(folder.path().join("events.db")).await.expect("a file");
    store.migrate().await.expect("a new file");
    is_told_once(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_moved_once_whatever_crashes_in_postgres() {
    let server = Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
    let database = server.database().await.unwrap_or_else(|error| panic!("{error}"));
    let store = PostgresStore::connect(database.url()).await.expect("connects");
    store.migrate().await.expect("migrates");
    is_told_once(store).await;
}

#[tokio::test]
async fn a_stream_is_not_moved_to_itself_nor_from_nowhere() {
    let store = MemoryStore::new();
    let old = stream("old", "1");
    let to_itself = Migration::new(&store, old.clone(), old.clone()).run(tell).await;
    assert!(matches!(to_itself, Err(MigrateError::SameStream(_))), "{to_itself:?}");
    let from_nowhere = Migration::new(&store, old.clone(), stream("new", "1")).run(tell).await;
    assert!(
        matches!(&from_nowhere, Err(MigrateError::Append(AppendError::Conflict(conflict))) if conflict.actual.is_none()),
        "{from_nowhere:?}"
    );
    fill(&store, &old).await;
    store.delete_stream(&old, Expected::Any).await.expect("it is there");
    let deleted = Migration::new(&store, old, stream("new", "1")).and_delete().run(tell).await;
    assert!(matches!(&deleted, Err(MigrateError::Append(AppendError::Closed(_)))), "{deleted:?}");
}

#[tokio::test]
async fn another_function_than_before_is_noticed() {
    let store = MemoryStore::new();
    let (old, new) = (stream("old", "1"), stream("new", "1"));
    fill(&store, &old).await;
    let faulty = Faulty::new(store.clone(), old.clone(), Fault::EndsAfter, 2);
    Migration::new(&faulty, old.clone(), new.clone())
        .batch_events(2)
        .run(tell)
        .await
        .expect_err("it crashes");
    let otherwise = |old: &RecordedEvent| {
        let mut told = tell(old)?;
        for event in &mut told {
            event.payload = "{}".into();
        }
        Ok(told)
    };
    let error = Migration::new(&store, old, new).run(otherwise).await.expect_err("it says something else");
    assert!(matches!(error, MigrateError::ToldOtherwise { .. }), "{error:?}");
}

#[tokio::test]
async fn an_event_of_which_nothing_can_be_told_ends_it() {
    let store = MemoryStore::new();
    let (old, new) = (stream("old", "1"), stream("new", "1"));
    fill(&store, &old).await;
    let fails =
        |old: &RecordedEvent| if old.version == Version(3) { Err("no words".into()) } else { tell(old) };
    let error = Migration::new(&store, old.clone(), new.clone()).run(fails).await.expect_err("it fails");
    let MigrateError::Function { at, source } = error else { panic!("another error: {error:?}") };
    assert_eq!((at.version, source.to_string().as_str()), (Version(3), "no words"));
    assert_eq!(whole(&store, &old).await.len(), 8, "it is as it was");
    Migration::new(&store, old.clone(), new.clone()).run(tell).await.expect("it can be told after all");
    let archived = store.read_archived(ReadStream::new(old)).await.expect("it is there");
    assert_told(&archived.events, &whole(&store, &new).await, "after an error");
}

#[tokio::test]
async fn a_truncated_stream_is_moved_from_where_it_begins() {
    let store = MemoryStore::new();
    let (old, new) = (stream("old", "1"), stream("new", "1"));
    fill(&store, &old).await;
    store.truncate_stream(&old, Version(4)).await.expect("it has the version");
    let moved = Migration::new(&store, old, new.clone()).run(tell).await.expect("it is told");
    assert_eq!((moved.read, moved.written), (5, 4));
    assert_eq!(whole(&store, &new).await.len(), 4);
}
