//! What a client does to streams that are archived, restored, truncated and deleted, while others do the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use factum_conformance::history::Recorder;
use factum_core::store::{Append, ReadStream};
use factum_core::{
    AppendError, EventId, Expected, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version,
};

use super::{Desk, name_of};
use crate::change::{Change, KEPT, What};
use crate::content;
use crate::dice::Dice;
use crate::life::REST_MAX;
use crate::target::Target;

/// How many such streams there are at a time: few, so that many are at each.
const STREAMS: u64 = 4;
/// How long they are used, so that some are left in each state that there is.
const USED_FOR: Duration = Duration::from_secs(4);

pub(super) struct Keeper<T> {
    store: T,
    desk: Arc<Desk>,
    recorder: Recorder,
    dice: Dice,
    /// What may have happened or not.
    open: VecDeque<Open>,
}

enum Open {
    Append(Append),
    Change(Change),
}

impl<T: Target> Keeper<T> {
    pub(super) fn new(store: T, desk: Arc<Desk>, dice: Dice, open: VecDeque<Append>) -> Self {
        let recorder = desk.keepers.clone();
        Self { store, desk, recorder, dice, open: open.into_iter().map(Open::Append).collect() }
    }

    pub(super) async fn turn(&mut self) -> anyhow::Result<()> {
        if !self.open.is_empty() && self.dice.once_in(2) {
            return self.repeat().await;
        }
        let stream = self.stream();
        let what = match self.dice.roll(100) {
            0..50 => return self.append(stream).await,
            50..68 => return self.read(&stream).await,
            68..72 => return self.read_archived(stream).await,
            72..80 => What::Archive,
            80..91 => What::Restore,
            91..99 => What::Truncate,
            _ => What::Delete,
        };
        let last = match self.store.read_stream(ReadStream::last(stream.clone())).await {
            Ok(page) => page.events.first().map_or(Version::NONE, |event| event.version),
            Err(error) => return self.rest_after("read", &error).await,
        };
        let version = match what {
            What::Truncate => Version(self.dice.roll(last.0 + 1)),
            _ if self.dice.once_in(10) => Version(self.dice.roll(last.0 + 3)),
            _ => last,
        };
        self.change(Change { what, stream, version }).await
    }

    /// Until it knows what became of everything, also of a stream that it leaves behind: so that there is one in each state.
    pub(super) async fn come_to_rest(&mut self) -> anyhow::Result<()> {
        let stream = StreamId::new(KEPT, &format!("last.{}", EventId::new())).expect("valid");
        let events: Vec<_> = (0..3).map(|_| content::event(EventId::new())).collect();
        let version = Version::NONE.forward(events.len()).expect("a few");
        self.send(Append::to(stream.clone(), Expected::NoStream, events)).await?;
        let what = *self.dice.pick(&What::ALL);
        self.change(Change { what, stream, version }).await?;
        let deadline = Instant::now() + REST_MAX;
        while !self.open.is_empty() {
            anyhow::ensure!(Instant::now() < deadline, "what became of a stream is still unknown");
            self.repeat().await?;
        }
        Ok(())
    }

    async fn repeat(&mut self) -> anyhow::Result<()> {
        match self.open.pop_front() {
            Some(Open::Append(append)) => self.send(append).await,
            Some(Open::Change(change)) => self.change(change).await,
            None => Ok(()),
        }
    }

    async fn append(&mut self, stream: StreamId) -> anyhow::Result<()> {
        let expected = match self.dice.roll(6) {
            0 => Expected::Exists,
            1 => Expected::Exactly(Version(self.dice.roll(30))),
            _ => Expected::Any,
        };
        let events = (0..=self.dice.roll(3)).map(|_| content::event(EventId::new())).collect();
        self.send(Append::to(stream, expected, events)).await
    }

    async fn send(&mut self, append: Append) -> anyhow::Result<()> {
        match self.recorder.append(&self.store, append.clone()).await {
            Ok(_) => self.desk.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err(AppendError::Conflict(_) | AppendError::Closed(_)) => {
                self.desk.conflicts.fetch_add(1, Ordering::Relaxed)
            }
            Err(AppendError::Store(error)) => {
                let doing = name_of("append", &append);
                if *error.kind() == StoreErrorKind::OutcomeUnknown {
                    self.desk.unknown.fetch_add(1, Ordering::Relaxed);
                    self.open.push_back(Open::Append(append));
                }
                return self.rest_after(&doing, &error).await;
            }
            Err(error) => return self.desk.note_strange(name_of("append", &append), &error),
        };
        Ok(())
    }

    async fn change(&mut self, change: Change) -> anyhow::Result<()> {
        let number = self.desk.note_asked(&change)?;
        match change.apply(&self.store).await {
            Ok(done) => self.desk.note_told(number, Some(done)),
            Err(AppendError::Conflict(_) | AppendError::Closed(_)) => self.desk.note_told(number, None),
            Err(AppendError::Store(error)) => {
                let doing = change.to_string();
                if *error.kind() == StoreErrorKind::OutcomeUnknown {
                    self.desk.unknown.fetch_add(1, Ordering::Relaxed);
                    self.open.push_back(Open::Change(change));
                } else {
                    self.desk.note_told(number, None)?;
                }
                self.rest_after(&doing, &error).await
            }
            Err(error) => self.desk.note_strange(change.to_string(), &error),
        }
    }

    async fn read(&mut self, stream: &StreamId) -> anyhow::Result<()> {
        match self.recorder.read(&self.store, stream).await {
            Ok(_) => Ok(()),
            Err(error) => self.rest_after("read", &error).await,
        }
    }

    /// What is set apart is whole, and has no hole.
    async fn read_archived(&mut self, stream: StreamId) -> anyhow::Result<()> {
        let events = match self.store.read_archived(ReadStream::new(stream.clone())).await {
            Ok(page) => page.events,
            Err(error) => return self.rest_after("read archived", &error).await,
        };
        let is_sound = events.iter().all(|event| event.stream == stream && content::is_whole(event))
            && events.is_sorted_by(follows);
        anyhow::ensure!(is_sound, "the archive of {stream} is not sound: {events:?}");
        Ok(())
    }

    async fn rest_after(&mut self, doing: &str, error: &StoreError) -> anyhow::Result<()> {
        self.desk.note_error(doing, error)?;
        tokio::time::sleep(self.dice.millis(5, 50)).await;
        Ok(())
    }

    fn stream(&mut self) -> StreamId {
        let used_for = u64::try_from(USED_FOR.as_nanos()).expect("some seconds");
        let now = self.desk.clock.nanoseconds() / used_for;
        StreamId::new(KEPT, &format!("{now}.{}", self.dice.roll(STREAMS))).expect("valid")
    }
}

fn follows(one: &RecordedEvent, next: &RecordedEvent) -> bool {
    one.version.next() == Some(next.version) && one.position < next.position
}
