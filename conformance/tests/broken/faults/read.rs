//! Faults of reading a stream, and of reading the feed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use factum_core::store::{Append, Appended, Filter, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{
    AppendError, EventStore, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version,
};
use factum_memory::MemoryStore;

use crate::store::{Fault, after_of, all, page_of};

/// Gives the event with the version that was asked for after.
#[derive(Default)]
pub(crate) struct IncludesTheVersion;
#[async_trait]
impl Fault for IncludesTheVersion {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let after = Version(after_of(&read).0.saturating_sub(1));
        store.read_stream(read.after(after)).await
    }
}

/// Goes on after a position, whichever log it is of.
#[derive(Default)]
pub(crate) struct GoesOnInAnyLog;
#[async_trait]
impl Fault for GoesOnInAnyLog {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        store.read_all(ReadAll { after: read.after.position.into(), ..read }).await
    }
}

/// Does not say which event an empty page ends at.
#[derive(Default)]
pub(crate) struct NamesNoEventWhereNothingCame;
#[async_trait]
impl Fault for NamesNoEventWhereNothingCame {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read).await?;
        let checkpoint =
            if page.events.is_empty() { page.checkpoint.position.into() } else { page.checkpoint };
        Ok(Page { checkpoint, ..page })
    }
}

/// Leaves one event out between two pages of a stream.
#[derive(Default)]
pub(crate) struct SkipsBetweenPages;
#[async_trait]
impl Fault for SkipsBetweenPages {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = store.read_stream(read.clone()).await?;
        if after_of(&read) > Version::NONE && page.events.len() > 1 {
            page.events.remove(0);
        }
        Ok(page)
    }
}

/// Gives more of a stream than was asked for.
#[derive(Default)]
pub(crate) struct IgnoresTheLimit;
#[async_trait]
impl Fault for IgnoresTheLimit {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        store.read_stream(ReadStream { limit: usize::MAX, ..read }).await
    }
}

/// Takes every full page for one before the end.
#[derive(Default)]
pub(crate) struct EndsAStreamWithAShortPage;
#[async_trait]
impl Fault for EndsAStreamWithAShortPage {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let page = store.read_stream(read.clone()).await?;
        Ok(StreamPage { end: page.events.len() < read.limit.max(1), ..page })
    }
}

/// Takes every page of a stream for its end.
#[derive(Default)]
pub(crate) struct EndsAStreamTooEarly;
#[async_trait]
impl Fault for EndsAStreamTooEarly {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let page = store.read_stream(read).await?;
        Ok(StreamPage { end: true, ..page })
    }
}

/// Keeps a page once it was the end.
#[derive(Default)]
pub(crate) struct RemembersEnds(Mutex<HashMap<(StreamId, Version, usize), StreamPage>>);
#[async_trait]
impl Fault for RemembersEnds {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let page = store.read_stream(read.clone()).await?;
        let mut ends = self.0.lock().unwrap();
        let key = (read.stream.clone(), after_of(&read), read.limit);
        if page.end {
            ends.entry(key.clone()).or_insert_with(|| page.clone());
        }
        Ok(ends.get(&key).cloned().unwrap_or(page))
    }
}

/// Reads streams from a replica that lags by an event.
#[derive(Default)]
pub(crate) struct ReadsAReplica;
#[async_trait]
impl Fault for ReadsAReplica {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let head = all(store).await.last().map(|event| event.position);
        let mut page = store.read_stream(read).await?;
        page.events.retain(|event| Some(event.position) != head);
        Ok(page)
    }
}

/// Fails where there is no stream.
#[derive(Default)]
pub(crate) struct FailsOnUnknownStreams;
#[async_trait]
impl Fault for FailsOnUnknownStreams {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let all = store.read_stream(read.clone().after(Version::NONE)).await?;
        if all.events.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Other, "read stream"));
        }
        store.read_stream(read).await
    }
}

/// Gives nothing, where a page of nothing is asked for.
#[derive(Default)]
pub(crate) struct GivesNothingForZero;
#[async_trait]
impl Fault for GivesNothingForZero {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        if read.limit == 0 {
            return Ok(StreamPage { events: Vec::new(), end: false });
        }
        store.read_stream(read).await
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        if read.limit == 0 {
            return Ok(Page { events: Vec::new(), checkpoint: read.after, end: false });
        }
        store.read_all(read).await
    }
}

/// Casts a version to the column's type.
#[derive(Default)]
pub(crate) struct CastsVersions;
#[async_trait]
impl Fault for CastsVersions {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let after = if i64::try_from(after_of(&read).0).is_ok() { after_of(&read) } else { Version::NONE };
        store.read_stream(read.after(after)).await
    }
}

/// Takes a stream for those whose names begin like it, too.
#[derive(Default)]
pub(crate) struct MatchesPrefixes;
#[async_trait]
impl Fault for MatchesPrefixes {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut events = all(store).await;
        events.retain(|event| {
            event.stream.as_str().starts_with(read.stream.as_str()) && event.version > after_of(&read)
        });
        let end = events.len() <= read.limit.max(1);
        events.truncate(read.limit.max(1));
        Ok(StreamPage { events, end })
    }
}

/// Gives the events of all streams of the category.
#[derive(Default)]
pub(crate) struct ReadsTheCategory;
#[async_trait]
impl Fault for ReadsTheCategory {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut events = all(store).await;
        events.retain(|event| {
            event.stream.category() == read.stream.category() && event.version > after_of(&read)
        });
        Ok(StreamPage { events, end: true })
    }
}

/// Reads no more than a thousand events of a stream.
#[derive(Default)]
pub(crate) struct StopsAtAThousand;
#[async_trait]
impl Fault for StopsAtAThousand {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = store.read_stream(read).await?;
        page.events.retain(|event| event.version.0 <= 1000);
        page.end |= page.events.is_empty();
        Ok(page)
    }
}

/// Has other times in the feed than in streams.
#[derive(Default)]
pub(crate) struct StampsTheFeed;
#[async_trait]
impl Fault for StampsTheFeed {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        page.events.iter_mut().for_each(|event| event.recorded_at += TimeDelta::seconds(1));
        Ok(page)
    }
}

/// Has the feed in the order of streams, numbered anew.
#[derive(Default)]
pub(crate) struct ReordersTheFeed;
#[async_trait]
impl Fault for ReordersTheFeed {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut events = all(store).await;
        // The suite's markers stay behind everything else, as they were appended, or it would notice by those.
        events.sort_by_key(|event| {
            let is_marker = event.stream.category().contains("marker");
            (is_marker, (!is_marker).then(|| Reverse(event.stream.clone())), event.position)
        });
        for (position, event) in (1..).zip(&mut events) {
            event.position = Position(position);
        }
        Ok(page_of(events, &read))
    }
}

/// Has the events of a stream in the feed in pairs, the later one first.
#[derive(Default)]
pub(crate) struct SwapsVersionsInTheFeed;
#[async_trait]
impl Fault for SwapsVersionsInTheFeed {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        for event in &mut page.events {
            event.version =
                Version(if event.version.0 % 2 == 0 { event.version.0 - 1 } else { event.version.0 + 1 });
        }
        Ok(page)
    }
}

/// Has only the last events in its feed.
#[derive(Default)]
pub(crate) struct ForgetsTheOldFeed;
#[async_trait]
impl Fault for ForgetsTheOldFeed {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut events = all(store).await;
        events.drain(..events.len().saturating_sub(20));
        Ok(page_of(events, &read))
    }
}

/// Moves all events when an append fails.
#[derive(Default)]
pub(crate) struct MovesEventsOnFailure(AtomicU64);
#[async_trait]
impl Fault for MovesEventsOnFailure {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let outcome = store.append(append).await;
        if outcome.is_err() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        let answer = outcome?;
        Ok(Appended { position: Position(answer.position.0 + self.0.load(Ordering::SeqCst)), ..answer })
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { position: Position(event.position.0 + self.0.load(Ordering::SeqCst)), ..event }
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let events = all(store).await.into_iter().map(|event| self.seen(event)).collect();
        Ok(page_of(events, &read))
    }
}

/// Gives the event at the position that was asked for after.
#[derive(Default)]
pub(crate) struct IncludesThePosition;
#[async_trait]
impl Fault for IncludesThePosition {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let after = Position(read.after.position.0.saturating_sub(1));
        store.read_all(ReadAll { after: after.into(), ..read }).await
    }
}

/// Says of a full page that it has looked at one event more than it gives.
#[derive(Default)]
pub(crate) struct SkipsAtPageEnds;
#[async_trait]
impl Fault for SkipsAtPageEnds {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read.clone()).await?;
        let skips = !page.end && page.events.len() == read.limit.max(1);
        Ok(Page { checkpoint: Position(page.checkpoint.position.0 + u64::from(skips)).into(), ..page })
    }
}

/// The same where there is a filter.
#[derive(Default)]
pub(crate) struct SkipsAMatchAtPageEnds;
#[async_trait]
impl Fault for SkipsAMatchAtPageEnds {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        if read.filter.is_all() {
            store.read_all(read).await
        } else {
            SkipsAtPageEnds.read_all(store, read).await
        }
    }
}

/// Takes every full page for one before the end.
#[derive(Default)]
pub(crate) struct EndsTheFeedWithAShortPage;
#[async_trait]
impl Fault for EndsTheFeedWithAShortPage {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read.clone()).await?;
        Ok(Page { end: page.events.len() < read.limit.max(1), ..page })
    }
}

/// Takes every page of the feed for its end.
#[derive(Default)]
pub(crate) struct EndsTheFeedTooEarly;
#[async_trait]
impl Fault for EndsTheFeedTooEarly {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read).await?;
        Ok(Page { end: true, ..page })
    }
}

/// Says at the end that it has looked at an event that is not there yet.
#[derive(Default)]
pub(crate) struct LooksBeyondTheHead;
#[async_trait]
impl Fault for LooksBeyondTheHead {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read).await?;
        Ok(Page {
            checkpoint: Position(page.checkpoint.position.0.saturating_add(u64::from(page.end))).into(),
            ..page
        })
    }
}

/// Never says that an empty store is at its end.
#[derive(Default)]
pub(crate) struct NeverEndsEmpty;
#[async_trait]
impl Fault for NeverEndsEmpty {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read).await?;
        Ok(Page { end: page.end && page.checkpoint.position > Position::START, ..page })
    }
}

/// Sends readers back who are past the head.
#[derive(Default)]
pub(crate) struct GoesBackToTheHead;
#[async_trait]
impl Fault for GoesBackToTheHead {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let head = all(store).await.last().map_or(Position::START, |event| event.position);
        let page = store.read_all(read).await?;
        Ok(Page { checkpoint: page.checkpoint.position.min(head).into(), ..page })
    }
}

/// Does not look at the names of a filter.
#[derive(Default)]
pub(crate) struct IgnoresNames;
#[async_trait]
impl Fault for IgnoresNames {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let filter = Filter { names: Vec::new(), ..read.filter };
        store.read_all(ReadAll { filter, ..read }).await
    }
}

/// Joins the parts of a filter with "or".
#[derive(Default)]
pub(crate) struct PassesEitherPart;
#[async_trait]
impl Fault for PassesEitherPart {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let Filter { categories, streams, names, .. } = &read.filter;
        let mut events = all(store).await;
        let head = events.last().map_or(Position::START, |event| event.position);
        events.retain(|event| {
            read.filter.is_all()
                || categories.iter().any(|category| category == event.stream.category())
                || streams.contains(&event.stream)
                || names.contains(&event.name)
        });
        let page = page_of(events, &ReadAll { filter: Filter::all(), ..read });
        Ok(if page.end {
            Page { checkpoint: page.checkpoint.position.max(head).into(), ..page }
        } else {
            page
        })
    }
}

/// Leaves out of a filter what it has never seen, and so lets everything pass where it knows nothing.
#[derive(Default)]
pub(crate) struct DropsUnknownNames;
#[async_trait]
impl Fault for DropsUnknownNames {
    async fn read_all(&self, store: &MemoryStore, mut read: ReadAll) -> Result<Page, StoreError> {
        let all = all(store).await;
        read.filter.names.retain(|name| all.iter().any(|event| event.name == *name));
        store.read_all(read).await
    }
}

/// Compares names as patterns.
#[derive(Default)]
pub(crate) struct TakesNamesForPatterns;
#[async_trait]
impl Fault for TakesNamesForPatterns {
    async fn read_all(&self, store: &MemoryStore, mut read: ReadAll) -> Result<Page, StoreError> {
        let all = all(store).await;
        let mut names = std::mem::take(&mut read.filter.names);
        let is_named = !names.is_empty();
        let matching = all.iter().map(|event| &event.name).filter(|name| {
            names.iter().any(|pattern| {
                pattern.as_str() == "%" || pattern.as_str().eq_ignore_ascii_case(name.as_str())
            })
        });
        let matching: Vec<_> = matching.cloned().collect();
        if is_named {
            names.extend(matching);
            read.filter.names = names;
        }
        store.read_all(read).await
    }
}

/// Looks at no more than a thousand names.
#[derive(Default)]
pub(crate) struct CutsFilters;
#[async_trait]
impl Fault for CutsFilters {
    async fn read_all(&self, store: &MemoryStore, mut read: ReadAll) -> Result<Page, StoreError> {
        read.filter.categories.truncate(1000);
        read.filter.streams.truncate(1000);
        read.filter.names.truncate(1000);
        store.read_all(read).await
    }
}

/// Filters appends and not events.
#[derive(Default)]
pub(crate) struct FiltersAppends;
#[async_trait]
impl Fault for FiltersAppends {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let all = all(store).await;
        let passes = |event: &RecordedEvent| {
            all.iter().any(|other| other.recorded_at == event.recorded_at && read.filter.passes(other))
        };
        let events = all.iter().filter(|event| passes(event)).cloned().collect();
        let page = page_of(events, &ReadAll { filter: Filter::all(), ..read.clone() });
        let head = all.last().map_or(Position::START, |event| event.position);
        Ok(if page.end {
            Page { checkpoint: page.checkpoint.position.max(head).into(), ..page }
        } else {
            page
        })
    }
}

/// Stays where it is if nothing passes.
#[derive(Default)]
pub(crate) struct StandsStill;
#[async_trait]
impl Fault for StandsStill {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read.clone()).await?;
        let at = page.events.last().map_or(read.after.position, |event| event.position);
        Ok(Page { checkpoint: at.into(), ..page })
    }
}
