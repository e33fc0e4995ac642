//! The cache of hot aggregates: their states, between two commands on them.

use std::fmt;
use std::mem::size_of;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::ops::compute::Op;

use crate::aggregate::{Aggregate, Loaded};
use crate::repository::Hot;
use crate::stream::StreamId;

/// How much of its aggregates a [`Repository`](crate::Repository) keeps in memory, see
/// [`Repository::cached`](crate::Repository::cached).
///
/// It is bounded twice: the entries are never more than so many, and never have more bytes together. So each counts for its
/// bytes, and for one in so many at least.
///
/// How many bytes a state has in memory nobody knows who has not written it. It counts for the payloads that were folded
/// into it (or for the snapshot and the payloads after it), and the overhead of an entry. For an aggregate that sums up much
/// in little that is far too much, and [`sized_by`](Cache::sized_by) says better.
pub struct Cache<A> {
    entries: u64,
    bytes: u64,
    trusted_for: Duration,
    size: Option<fn(&A) -> usize>,
}

/// A failover, or restoring a backup, takes longer than that.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// What an entry costs beside what it holds, about: that of `moka`, and allocations.
const OVERHEAD: usize = 200;

impl<A> Cache<A> {
    /// At most so many aggregates, and at most so many bytes.
    pub const fn new(entries: u64, bytes: u64) -> Self {
        Self { entries: if entries == 0 { 1 } else { entries }, bytes, trusted_for: TRUSTED_FOR, size: None }
    }

    /// How many bytes a state has in memory, about.
    pub const fn sized_by(mut self, size: fn(&A) -> usize) -> Self {
        self.size = Some(size);
        self
    }

    /// How long a command may be decided on a state without looking at the log, since somebody last did; five seconds
    /// unless told otherwise.
    ///
    /// The append proves that the stream has the version of the state. What a version cannot prove are a truncation by
    /// somebody else, and a log that was restored, or failed over without its last events, and then came to the same
    /// version by others. They are noticed by looking: by [`load`](crate::Repository::load) always, and by a command after
    /// this time. With zero every command looks, in one more round trip.
    pub const fn trusted_for(mut self, time: Duration) -> Self {
        self.trusted_for = time;
        self
    }
}

impl<A> fmt::Debug for Cache<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, bytes, trusted_for, .. } = self;
        f.debug_struct("Cache")
            .field("entries", entries)
            .field("bytes", bytes)
            .field("trusted_for", trusted_for)
            .finish_non_exhaustive()
    }
}

/// The cache of a repository and its clones.
pub(crate) struct States<A> {
    kept: moka::sync::Cache<StreamId, Arc<Entry<A>>>,
    limits: Cache<A>,
    /// When somebody last asked to forget a stream: what was read before must not come back.
    forgot_at: Mutex<Option<Instant>>,
}

struct Entry<A> {
    loaded: Loaded<A>,
    weight: u32,
}

impl<A: Aggregate> States<A> {
    pub(crate) fn new(limits: Cache<A>) -> Self {
        let kept = moka::sync::Cache::builder()
            .max_capacity(limits.bytes)
            .weigher(|_, entry: &Arc<Entry<A>>| entry.weight)
            .build();
        Self { kept, limits, forgot_at: Mutex::new(None) }
    }

    fn weight(&self, stream: &StreamId, loaded: &Loaded<A>) -> u32 {
        let state = match self.limits.size {
            Some(size) => size(loaded.state()),
            None => loaded.origin().bytes,
        };
        let bytes = state.saturating_add(size_of::<Loaded<A>>() + stream.as_str().len() + OVERHEAD);
        let share = self.limits.bytes / self.limits.entries;
        u32::try_from(share.max(bytes as u64)).unwrap_or(u32::MAX)
    }

    fn forgot_since(&self, loaded: &Loaded<A>) -> bool {
        let forgot_at = *self.forgot_at.lock().unwrap_or_else(PoisonError::into_inner);
        match (forgot_at, loaded.origin().asked_at) {
            (Some(forgot_at), Some(asked_at)) => asked_at <= forgot_at,
            (_, asked_at) => asked_at.is_none(),
        }
    }
}

impl<A: Aggregate + Clone> Hot<A> for States<A> {
    fn get(&self, stream: &StreamId, is_first_look: bool) -> Option<Loaded<A>> {
        let entry = self.kept.get(stream);
        if is_first_look {
            let name = if entry.is_some() { "factum_cache_hits_total" } else { "factum_cache_misses_total" };
            metrics::counter!(name, "category" => A::CATEGORY).increment(1);
        }
        entry.map(|entry| entry.loaded.clone())
    }

    fn is_trusted(&self, loaded: &Loaded<A>) -> bool {
        loaded.origin().asked_at.is_some_and(|at| at.elapsed() < self.limits.trusted_for)
    }

    fn put(&self, stream: &StreamId, loaded: &Loaded<A>) {
        if loaded.footing().is_none() {
            return;
        }
        let entry = Arc::new(Entry { loaded: loaded.clone(), weight: self.weight(stream, loaded) });
        self.kept.entry_by_ref(stream).and_compute_with(|before| {
            let version = entry.loaded.version();
            let is_older = before.is_some_and(|before| before.into_value().loaded.version() > version);
            // Looked at here, where whoever forgets the stream waits.
            if is_older || self.forgot_since(&entry.loaded) { Op::Nop } else { Op::Put(entry) }
        });
    }

    fn remove(&self, stream: &StreamId) {
        self.kept.invalidate(stream);
    }

    fn forget(&self, stream: &StreamId) {
        *self.forgot_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.kept.entry_by_ref(stream).and_compute_with(|_| Op::Remove);
    }

    fn found_stale(&self) {
        metrics::counter!("factum_cache_stale_total", "category" => A::CATEGORY).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::metadata::EventId;
    use crate::stream::{Position, Version};
    use crate::{BoxError, Codec, DecodeError, Decoded, Event, RecordedEvent, Route};

    #[derive(Clone, Default)]
    struct Text(String);

    struct Written(String);

    impl Event for Written {
        const TYPES: &'static [EventType] = &[EventType::new("written", 1, &[])];

        fn event_type(&self) -> &'static EventType {
            &Self::TYPES[0]
        }

        fn encode(&self, codec: Codec) -> Result<Vec<u8>, BoxError> {
            codec.encode(&self.0)
        }

        fn decode_all(_: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
            unreachable!("nothing is read here")
        }
    }

    impl Route<Text> for Written {
        fn route(self, text: &mut Text) {
            text.0 = self.0;
        }
    }

    impl Aggregate for Text {
        const CATEGORY: &'static str = "text";
        type Id = u32;
        type Event = Written;
    }

    /// A text that was read now.
    fn text(version: u64, bytes: usize) -> Loaded<Text> {
        let mut loaded = Loaded::<Text>::new();
        loaded.apply(Written("x".repeat(bytes)), Version(version), Position(version));
        let origin = loaded.origin_mut();
        (origin.event_id, origin.bytes, origin.asked_at) =
            (Some(EventId::new()), bytes, Some(Instant::now()));
        loaded
    }

    fn stream(id: usize) -> StreamId {
        StreamId::new("text", &id.to_string()).expect("a name")
    }

    /// How many there are, and what they weigh, after so many of this size were put.
    fn sizes(states: &States<Text>, count: usize, bytes: usize) -> (u64, u64) {
        for id in 0..count {
            states.put(&stream(id), &text(1, bytes));
            states.kept.run_pending_tasks();
        }
        (states.kept.entry_count(), states.kept.weighted_size())
    }

    #[test]
    fn it_has_no_more_entries_than_it_may() {
        let (entries, bytes) = sizes(&States::new(Cache::new(10, 1 << 20)), 100, 1);
        assert!((5..=10).contains(&entries) && bytes <= 1 << 20, "{entries} of {bytes} bytes");
    }

    #[test]
    fn it_has_no_more_bytes_than_it_may() {
        let (entries, bytes) = sizes(&States::new(Cache::new(1000, 100_000)), 100, 10_000);
        assert!((5..=9).contains(&entries) && bytes <= 100_000, "{entries} of {bytes} bytes");
        let (entries, _) = sizes(&States::new(Cache::new(1000, 100_000)), 100, 200_000);
        assert_eq!(entries, 0, "one that is larger than all of it is not kept");
    }

    #[test]
    fn a_function_says_how_large_a_state_is() {
        let limits = Cache::new(1000, 100_000).sized_by(|text: &Text| text.0.len() / 1000);
        let (entries, _) = sizes(&States::new(limits), 100, 10_000);
        assert_eq!(entries, 100);
    }

    #[test]
    fn a_state_takes_the_place_of_an_older_one_only() {
        let states = States::new(Cache::new(10, 1 << 20));
        for (version, kept) in [(2, 2), (1, 2), (3, 3)] {
            states.put(&stream(1), &text(version, 1));
            assert_eq!(states.get(&stream(1), false).map(|kept| kept.version()), Some(Version(kept)));
        }
        states.remove(&stream(1));
        states.put(&stream(1), &text(1, 1));
        assert_eq!(states.get(&stream(1), false).map(|kept| kept.version()), Some(Version(1)));
    }

    #[test]
    fn what_was_read_before_a_stream_was_forgotten_does_not_come_back() {
        let states = States::new(Cache::new(10, 1 << 20));
        let read_before = text(1, 1);
        states.put(&stream(1), &read_before);
        states.forget(&stream(1));
        assert!(states.get(&stream(1), false).is_none());
        states.put(&stream(1), &read_before);
        assert!(states.get(&stream(1), false).is_none());
        let later = loop {
            let later = text(2, 1);
            if later.origin().asked_at > read_before.origin().asked_at && !states.forgot_since(&later) {
                break later;
            }
        };
        states.put(&stream(1), &later);
        assert!(states.get(&stream(1), false).is_some());
    }
}
