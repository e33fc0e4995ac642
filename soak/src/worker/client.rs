//! One client: appends in every way there is, repeats what it was not told, and reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use factum_conformance::history::{Answer, Recorder, Request};
use factum_core::store::{Append, Appended, ReadStream};
use factum_core::{
    AppendError, Conflict, EventId, Expected, NewEvent, StoreError, StoreErrorKind, StreamId, Version,
};

use super::keeper::Keeper;
use super::{Desk, name_of};
use crate::content;
use crate::dice::Dice;
use crate::follower::{SHARED, ledgers};
use crate::life::{REST_MAX, Stop};
use crate::target::Target;

/// How many streams all clients append to at a time.
const SHARED_STREAMS: u64 = 8;
/// How long they do: then they go on with others, so that reading a stream stays cheap however long a run is.
const SHARED_FOR: Duration = Duration::from_secs(3);
/// How many events a stream of one client has at least, before it begins another.
const OWN_EVENTS: u64 = 20;
/// How many acknowledged appends a client remembers, to repeat one of them.
const SENT_MAX: usize = 8;

pub(super) struct Client<T> {
    store: T,
    desk: Arc<Desk>,
    recorder: Recorder,
    dice: Dice,
    whose: String,
    /// How many streams of its own it has begun, and the version of the last as far as it knows.
    own: (u64, Version),
    /// What was acknowledged, the latest last.
    sent: VecDeque<Append>,
    /// What may have happened or not.
    open: VecDeque<Append>,
    keeper: Keeper<T>,
}

impl<T: Target> Client<T> {
    pub(super) fn new(
        store: T,
        desk: Arc<Desk>,
        dice: Dice,
        whose: String,
        open: VecDeque<Append>,
        keeper: Keeper<T>,
    ) -> Self {
        let (recorder, own, sent) = (desk.recorder.clone(), (1, Version::NONE), VecDeque::new());
        Self { store, desk, recorder, dice, whose, own, sent, open, keeper }
    }

    /// Works until it is told to stop, then repeats until it knows what became of everything.
    pub(super) async fn run(mut self, pause_millis: u64, mut stop: Stop) -> anyhow::Result<()> {
        while !stop.is_told() {
            self.turn().await?;
            stop.sleep(self.dice.millis(0, 2 * pause_millis)).await;
        }
        let deadline = Instant::now() + REST_MAX;
        while let Some(append) = self.open.pop_front() {
            anyhow::ensure!(Instant::now() < deadline, "the outcome of {append:?} is still unknown");
            self.append(append).await?;
        }
        self.keeper.come_to_rest().await
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        if !self.open.is_empty() && self.dice.once_in(2) {
            let append = self.open.pop_front().expect("it is not empty");
            return if self.dice.once_in(8) {
                self.append_in_transaction(append, false).await
            } else {
                self.append(append).await
            };
        }
        match self.dice.roll(100) {
            0..12 => self.read().await,
            12..18 => match self.repeated() {
                Some(append) => self.append(append).await,
                None => Ok(()),
            },
            18..26 => {
                let append = self.new_append();
                self.append_in_transaction(append, true).await
            }
            26..29 => self.append_impatiently().await,
            29..40 => self.keeper.turn().await,
            _ => {
                let append = self.new_append();
                self.append(append).await
            }
        }
    }

    async fn append(&mut self, append: Append) -> anyhow::Result<()> {
        let outcome = self.recorder.append(&self.store, append.clone()).await;
        self.settle(append, outcome).await
    }

    /// Waits for the answer only for a moment, and then does not know.
    async fn append_impatiently(&mut self) -> anyhow::Result<()> {
        let append = self.new_append();
        let doing = self.recorder.append(&self.store, append.clone());
        if let Ok(outcome) = tokio::time::timeout(self.dice.millis(0, 10), doing).await {
            return self.settle(append, outcome).await;
        }
        self.open_up(append);
        Ok(())
    }

    /// Appends in a transaction that pauses before it is committed, or rolled back. With it goes a row of the client's
    /// own.
    async fn append_in_transaction(&mut self, mut append: Append, is_first: bool) -> anyhow::Result<()> {
        let mut tx = match self.store.begin().await {
            Ok(tx) => tx,
            Err(error) => {
                // Nothing was asked for. What was open stays so.
                let noted = self.desk.note_error(name_of("begin", &append), &error);
                self.open.push_back(append);
                return noted;
            }
        };
        if self.dice.once_in(3) && append.streams().len() == 1 {
            let part = append.streams()[0].clone();
            let pending = self.recorder.begin(Request::Read(part.stream.clone()));
            match self.store.read_stream_in(&mut tx, ReadStream::new(part.stream.clone())).await {
                Ok(page) if page.end => {
                    let seen: Vec<_> = page.events.iter().map(|event| (event.id, event.version)).collect();
                    let is_new = !seen.iter().any(|(id, _)| *id == part.events[0].id);
                    let version = seen.last().map_or(Version::NONE, |(_, version)| *version);
                    pending.answer(Answer::Read(seen));
                    if is_new {
                        append = Append::to(part.stream, Expected::Exactly(version), part.events);
                    }
                }
                // A page of many is no answer.
                Ok(_) => {}
                Err(error) => {
                    let noted = self.desk.note_error(name_of("read in", &append), &error);
                    self.open.push_back(append);
                    return noted;
                }
            }
        }
        let first = append.events().next().expect("it has events").id;
        if let Err(error) = self.store.mark(&mut tx, first).await {
            let noted = self.desk.note_error(name_of("mark", &append), &error);
            self.open.push_back(append);
            return noted;
        }
        let pending = self.recorder.begin(Request::from(&append));
        let outcome = match self.store.append_in(&mut tx, append.clone()).await {
            Ok(uncommitted) => {
                let longest = if self.dice.once_in(12) { 80 } else { 3 };
                tokio::time::sleep(self.dice.millis(0, longest)).await;
                if self.dice.once_in(4) {
                    drop(tx);
                    pending.answer(Answer::Refused);
                    return self.desk.note_back(&append);
                }
                self.store.commit(tx).await.map(|()| uncommitted.committed()).map_err(AppendError::Store)
            }
            // What is not committed did not happen.
            Err(AppendError::Store(error)) => {
                pending.answer(Answer::Refused);
                let noted = self.desk.note_error(name_of("append in", &append), &error);
                self.open.push_back(append);
                return noted;
            }
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(Appended { position, versions, .. }) => {
                pending.answer(Answer::Appended { position: *position, versions: versions.clone() });
                // If it was asked for before, it may have been recorded then, without a row.
                if is_first {
                    self.desk.note_mark(&append)?;
                }
            }
            Err(AppendError::Conflict(conflict)) => pending.answer(Answer::Conflict(conflict.clone())),
            Err(AppendError::IdReused(reused)) => pending.answer(Answer::IdReused(reused.clone())),
            Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::OutcomeUnknown => {
                drop(pending);
            }
            Err(_) => pending.answer(Answer::Refused),
        }
        self.settle(append, outcome).await
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let stream = match self.dice.roll(40) {
            0 => self.dice.pick(&ledgers()).clone(),
            1..10 => self.own_stream(self.own.0),
            10..14 => self.shared_stream(1),
            _ => self.shared_stream(0),
        };
        match self.recorder.read(&self.store, &stream).await {
            Ok(_) => Ok(()),
            Err(error) => self.rest_after("read", &error).await,
        }
    }

    /// Learns from what was answered.
    async fn settle(&mut self, append: Append, outcome: Result<Appended, AppendError>) -> anyhow::Result<()> {
        let own = self.own_stream(self.own.0);
        match outcome {
            Ok(appended) => {
                self.desk.acknowledged.fetch_add(1, Ordering::Relaxed);
                let mut parts = append.streams().iter().zip(&appended.versions);
                if let Some((_, version)) = parts.find(|(part, _)| part.stream == own) {
                    self.own.1 = self.own.1.max(*version);
                }
                if self.own.1.0 >= OWN_EVENTS {
                    self.own = (self.own.0 + 1, Version::NONE);
                }
                self.sent.push_back(append);
                if self.sent.len() > SENT_MAX {
                    self.sent.pop_front();
                }
                Ok(())
            }
            Err(AppendError::Conflict(Conflict { stream, actual, .. })) => {
                self.desk.conflicts.fetch_add(1, Ordering::Relaxed);
                if stream == own {
                    self.own.1 = actual.unwrap_or_default();
                }
                Ok(())
            }
            Err(AppendError::IdReused(_)) => Ok(()),
            Err(AppendError::Store(error)) => {
                let doing = name_of("append", &append);
                if *error.kind() == StoreErrorKind::OutcomeUnknown {
                    self.open_up(append);
                } else if self.dice.once_in(2) {
                    // Nothing was written, so it may be asked for again like anything else.
                    self.open.push_back(append);
                }
                self.rest_after(&doing, &error).await
            }
            Err(error) => self.desk.note_strange(name_of("append", &append), &error),
        }
    }

    fn open_up(&mut self, append: Append) {
        self.desk.unknown.fetch_add(1, Ordering::Relaxed);
        self.open.push_back(append);
    }

    /// Leaves a store alone for a moment that has enough to do.
    async fn rest_after(&mut self, doing: &str, error: &StoreError) -> anyhow::Result<()> {
        self.desk.note_error(doing, error)?;
        tokio::time::sleep(self.dice.millis(5, 50)).await;
        Ok(())
    }

    fn new_append(&mut self) -> Append {
        match self.dice.roll(100) {
            0..40 => {
                let (stream, expected) = self.own_part();
                Append::to(stream, expected, self.events())
            }
            40..43 => {
                let ledger = self.dice.pick(&ledgers()).clone();
                Append::to(ledger, Expected::Any, self.events())
            }
            43..80 => {
                let (stream, expected) = self.shared_part();
                Append::to(stream, expected, self.events())
            }
            _ => {
                let (stream, expected) = self.shared_part();
                let mut append = Append::to(stream.clone(), expected, self.events());
                let (other, expected) = self.shared_part();
                if other != stream {
                    append = append.and(other, expected, self.events());
                }
                if self.dice.once_in(2) {
                    let (own, expected) = self.own_part();
                    append = append.and(own, expected, self.events());
                }
                append
            }
        }
    }

    /// One that was acknowledged, as it was, expecting something else, or with an event more, which makes it another.
    fn repeated(&mut self) -> Option<Append> {
        if self.sent.is_empty() {
            return None;
        }
        let append = self.sent[self.dice.index(self.sent.len())].clone();
        if !self.dice.once_in(4) {
            return Some(append);
        }
        let mut part = append.into_streams().swap_remove(0);
        part.events.push(content::event(EventId::new()));
        Some(Append::to(part.stream, Expected::Any, part.events))
    }

    fn own_part(&mut self) -> (StreamId, Expected) {
        let (number, version) = self.own;
        let expected = match self.dice.roll(10) {
            0 => Expected::Any,
            1 => Expected::Exists,
            2 => Expected::NoStream,
            _ => Expected::Exactly(version),
        };
        (self.own_stream(number), expected)
    }

    fn shared_part(&mut self) -> (StreamId, Expected) {
        let expected = match self.dice.roll(10) {
            0 => Expected::NoStream,
            1 => Expected::Exists,
            2 => Expected::Exactly(Version(self.dice.roll(40))),
            _ => Expected::Any,
        };
        (self.shared_stream(0), expected)
    }

    fn own_stream(&self, number: u64) -> StreamId {
        StreamId::new("own", &format!("{}.{number}", self.whose)).expect("valid")
    }

    /// One of those that all clients append to now, or did some while ago.
    fn shared_stream(&mut self, ago: u64) -> StreamId {
        let while_nanoseconds = u64::try_from(SHARED_FOR.as_nanos()).expect("some seconds");
        let now = (self.desk.clock.nanoseconds() / while_nanoseconds).saturating_sub(ago);
        StreamId::new(SHARED, &format!("{now}.{}", self.dice.roll(SHARED_STREAMS))).expect("valid")
    }

    fn events(&mut self) -> Vec<NewEvent> {
        let count = if self.dice.once_in(4) { 2 + self.dice.roll(3) } else { 1 };
        (0..count).map(|_| content::event(EventId::new())).collect()
    }
}
