//! One who appends, repeats himself, reads, and does things to streams as a whole.

use std::time::Duration;

use factum_core::retention::{Closing, RESTORED, Retention, TRUNCATED};
use factum_core::store::{Append, Appended, ReadStream};
use factum_core::{
    AppendError, EventStore, Expected, RecordedEvent, StoreError, StoreErrorKind, StreamId, Transactional,
    Version,
};

use super::journal::{Answer, Deed, Journal};
use crate::dice::Dice;
use crate::given::{events, stream_of};

pub(super) const CATEGORIES: [&str; 2] = ["order", "cart"];

/// How many streams there are for the same while. Others take their place: what was deleted stays so.
const STREAMS: u64 = 4;
/// After how many turns one of them is left, and another one comes.
const TURNS: u64 = 8;

/// Appends to streams, alone and in transactions, repeats appends, reads streams, and archives, restores, truncates and deletes
/// them, so many times, and notes it. `name` is the client's own, also among those of other processes.
///
/// # Panics
///
/// If the store shows or answers what it must not; or is ill, other than for a while.
pub async fn disturb<S>(store: S, journal: Journal, name: &str, turns: u64)
where
    S: EventStore + Transactional + Retention,
{
    let mut client = Client {
        store,
        journal,
        name: name.to_owned(),
        dice: Dice::new(name),
        deeds: 0,
        turn: 0,
        sent: Vec::new(),
        archived: Vec::new(),
    };
    for turn in 0..turns {
        client.turn = turn;
        client.take_turn().await;
    }
}

struct Client<S> {
    store: S,
    journal: Journal,
    name: String,
    dice: Dice,
    deeds: u64,
    turn: u64,
    /// What was appended, and how it was answered.
    sent: Vec<(Append, Option<Appended>)>,
    /// What it has archived, which others may have restored or deleted since.
    archived: Vec<StreamId>,
}

/// What came of something.
enum Outcome<T> {
    Done(T),
    Refused,
    Unknown,
}

impl<T> Outcome<T> {
    fn of(outcome: Result<T, AppendError>) -> Self {
        match outcome {
            Ok(done) => Self::Done(done),
            Err(AppendError::Conflict(_) | AppendError::Closed(_)) => Self::Refused,
            Err(AppendError::Store(error)) => Self::of_ill(&error),
            Err(error) => panic!("nothing is invalid, and no id is used twice: {error:?}"),
        }
    }

    /// The store may be killed, and be busy.
    fn of_ill(error: &StoreError) -> Self {
        assert!(error.is_transient(), "the store is ill: {error:?}");
        if *error.kind() == StoreErrorKind::OutcomeUnknown { Self::Unknown } else { Self::Refused }
    }
}

impl<S: EventStore + Transactional + Retention> Client<S> {
    async fn take_turn(&mut self) {
        match self.dice.roll(20) {
            0..7 => {
                let append = self.append_to(1);
                self.append(append).await;
            }
            7..10 => self.append_to_what_is_seen().await,
            10..12 => {
                let append = self.append_to(2);
                self.append(append).await;
            }
            12..14 => self.repeat().await,
            14..16 => self.append_in_transaction().await,
            16 => drop(self.read().await),
            _ => self.change().await,
        }
    }

    fn stream(&mut self) -> StreamId {
        let category = CATEGORIES[self.dice.index(CATEGORIES.len())];
        stream_of(category, &(self.turn / TURNS + self.dice.roll(STREAMS)).to_string())
    }

    /// Some events for so many streams, in one order for all, so that transactions do not wait for each other in a circle.
    fn append_to(&mut self, count: usize) -> Append {
        let mut streams: Vec<_> = (0..count).map(|_| self.stream()).collect();
        streams.sort();
        streams.dedup();
        let mut parts = streams.into_iter().map(|stream| (stream, events(1 + self.dice.index(3))));
        let (stream, first) = parts.next().expect("at least one");
        parts.fold(Append::to(stream, Expected::Any, first), |append, (stream, events)| {
            append.and(stream, Expected::Any, events)
        })
    }

    fn begin(&mut self, deed: Deed) -> String {
        self.deeds += 1;
        let key = format!("{}#{}", self.name, self.deeds);
        self.journal.begin(&key, deed);
        key
    }

    async fn append(&mut self, append: Append) -> Option<Appended> {
        let key = self.begin(Deed::from(&append));
        let outcome = Outcome::of(self.store.append(append.clone()).await);
        self.settle(&key, append, outcome)
    }

    /// Notes how an append was answered.
    fn settle(&mut self, key: &str, append: Append, outcome: Outcome<Appended>) -> Option<Appended> {
        let appended = match outcome {
            Outcome::Done(appended) => {
                self.journal.answer(key, Answer::from(&appended));
                Some(appended)
            }
            Outcome::Refused => {
                self.journal.answer(key, Answer::Refused);
                return None;
            }
            Outcome::Unknown => None,
        };
        self.sent.push((append, appended.clone()));
        appended
    }

    /// Expects the version that it has read, or another one.
    async fn append_to_what_is_seen(&mut self) {
        let Some((stream, seen)) = self.read().await else { return };
        let version = seen.last().map_or(Version::NONE, |last| last.version);
        let version = if self.dice.once_in(8) { Version(version.0 / 2) } else { version };
        let count = 1 + self.dice.index(2);
        let append = Append::to(stream, Expected::Exactly(version), events(count));
        if let Some(appended) = self.append(append).await {
            assert_eq!(Some(appended.version()), version.forward(count), "it follows what was expected");
        }
    }

    /// Sends again what was sent before, which is answered as then.
    async fn repeat(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.dice.index(self.sent.len());
        let (append, answered) = self.sent[at].clone();
        let key = self.begin(Deed::from(&append));
        let outcome = Outcome::of(self.store.append(append.clone()).await);
        match (&outcome, answered) {
            (Outcome::Done(again), Some(answered)) => {
                assert_eq!(*again, answered, "a repetition of {append:?}");
            }
            (Outcome::Refused, Some(answered)) => {
                // It was not refused for what it is, if the store was only too busy.
                let found = self.store.append(append.clone()).await;
                assert!(
                    !matches!(found, Err(AppendError::Conflict(_) | AppendError::Closed(_))),
                    "{append:?} was answered {answered:?}, and now {found:?}"
                );
                return;
            }
            _ => {}
        }
        self.sent[at].1 = self.settle(&key, append, outcome).or(self.sent[at].1.take());
    }

    async fn append_in_transaction(&mut self) {
        let mut tx = match self.store.begin().await {
            Ok(tx) => tx,
            Err(error) => {
                assert!(error.is_transient(), "the store is ill: {error:?}");
                return;
            }
        };
        let mut made = Vec::new();
        for _ in 0..=self.dice.roll(2) {
            let append = self.append_to(1);
            let is_in_order = made.last().is_none_or(|(_, last, _): &(String, Append, Appended)| {
                last.streams()[0].stream < append.streams()[0].stream
            });
            if !is_in_order {
                continue;
            }
            let key = self.begin(Deed::from(&append));
            match self.store.append_in(&mut tx, append.clone()).await {
                Ok(uncommitted) => made.push((key, append, uncommitted.committed())),
                Err(error) => {
                    self.journal.answer(&key, Answer::Refused);
                    if let AppendError::Store(error) = error {
                        assert!(error.is_transient(), "the store is ill: {error:?}");
                        // Nothing of the transaction is left.
                        drop(tx);
                        for (key, ..) in &made {
                            self.journal.answer(key, Answer::Refused);
                        }
                        return;
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(self.dice.roll(16))).await;
        let is_dropped = self.dice.once_in(4);
        let committed = if is_dropped {
            drop(tx);
            Outcome::Refused
        } else {
            Outcome::of(self.store.commit(tx).await.map_err(AppendError::from))
        };
        for (key, append, appended) in made {
            let outcome = match committed {
                Outcome::Done(()) => Outcome::Done(appended),
                Outcome::Refused => Outcome::Refused,
                Outcome::Unknown => Outcome::Unknown,
            };
            self.settle(&key, append, outcome);
        }
    }

    /// A stream as it is at one moment: whole, or cut at its beginning by an event that says so, or closed by one that is alone.
    async fn read(&mut self) -> Option<(StreamId, Vec<RecordedEvent>)> {
        let stream = self.stream();
        let read = ReadStream::new(stream.clone()).limit(usize::MAX).bytes(usize::MAX);
        let page = match self.store.read_stream(read).await {
            Ok(page) => page,
            Err(error) if error.is_transient() => return None,
            Err(error) => panic!("a stream can be read: {error:?}"),
        };
        assert!(page.end, "it asked for all of it");
        assert_joined(&page.events);
        let is_alone = page.events.len() == 1;
        for (event, next) in page.events.iter().zip(page.events.iter().skip(1).map(Some).chain([None])) {
            let is_restored = next.is_some_and(|next| next.name.as_str() == RESTORED);
            match Closing::of_event(event.name.as_str()) {
                Some(Closing::Archived) => assert!(is_alone || is_restored, "{:?}", page.events),
                Some(Closing::Deleted) => assert!(is_alone, "{:?}", page.events),
                None => {}
            }
        }
        Some((stream, page.events))
    }

    async fn change(&mut self) {
        let stream = self.stream();
        let (deed, outcome) = match self.dice.roll(12) {
            0..3 => {
                self.archived.push(stream.clone());
                let key = self.begin(Deed::Archive(stream.clone()));
                (key, self.store.archive_stream(&stream, Expected::Any).await)
            }
            3..7 => {
                let stream = self.archived.pop().unwrap_or(stream);
                let key = self.begin(Deed::Restore(stream.clone()));
                (key, self.store.restore_stream(&stream).await)
            }
            7..10 => {
                let Some((stream, seen)) = self.read().await else { return };
                let Some(last) = seen.last() else { return };
                let before = Version(last.version.0.saturating_sub(self.dice.roll(3)));
                let key = self.begin(Deed::Truncate(stream.clone(), before));
                let outcome = self.store.truncate_stream(&stream, before).await;
                let nowhere = |()| Appended { versions: Vec::new(), ..Appended::from(last) };
                (key, outcome.map(nowhere))
            }
            _ => {
                let key = self.begin(Deed::Delete(stream.clone()));
                (key, self.store.delete_stream(&stream, Expected::Any).await)
            }
        };
        match Outcome::of(outcome) {
            Outcome::Done(appended) => self.journal.answer(&deed, Answer::from(&appended)),
            Outcome::Refused => self.journal.answer(&deed, Answer::Refused),
            Outcome::Unknown => {}
        }
    }
}

/// That versions follow each other from where the stream begins.
fn assert_joined(events: &[RecordedEvent]) {
    for pair in events.windows(2) {
        assert_eq!(Some(pair[1].version), pair[0].version.next(), "in {}", pair[0].stream);
        assert!(pair[0].position < pair[1].position, "in {}", pair[0].stream);
    }
    if let Some(first) = events.first() {
        let begins = first.version == Version(1)
            || first.name.as_str() == TRUNCATED
            || Closing::of_event(first.name.as_str()).is_some();
        assert!(begins, "{} begins with {first:?}", first.stream);
    }
}
