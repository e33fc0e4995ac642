//! The end of the log in memory, for those who follow it: what a process has appended need not be read by it, and what others
//! have appended is read once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Append, Appended, Page, ReadAll};
use crate::checkpoint::Checkpoint;
use crate::envelope::RecordedEvent;
use crate::metadata::EventId;
use crate::stream::{Position, Version};

/// For how long an event is told from memory. Another process may have deleted it meanwhile.
const FRESH: Duration = Duration::from_millis(100);

/// For how long what is appended is kept after somebody has asked for it.
const WANTED: Duration = Duration::from_secs(1);

/// The most places that are known.
const PLACES_MAX: usize = 1_000;

/// The most bytes of payload.
const BYTES_MAX: usize = 4 << 20;

/// For stores: the events that were appended a moment ago, for [those who follow](ReadAll::following).
///
/// A page goes on from a place that is known, with the event that it names, and has events whose positions follow each other
/// without a hole. Each position is one event's for ever, so there is nothing between them that the page does not have.
///
/// What is kept was committed. It is wrong if streams are deleted or the log becomes another one, so whoever does or learns
/// that calls [`forget`](Tail::forget); and what was begun before that comes too late to be kept.
#[derive(Debug, Default)]
pub struct Tail(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How often everything was forgotten.
    era: u64,
    /// In the order of their positions.
    places: VecDeque<Place>,
    bytes: usize,
    wanted: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    position: Position,
    event_id: EventId,
    /// With the time from which it is known.
    event: Option<(RecordedEvent, Instant)>,
}

/// When something was begun that is kept later. Taken before the store is asked.
#[derive(Clone, Copy, Debug)]
pub struct Begun(u64);

impl Tail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before an append or a read is begun whose outcome is to be kept.
    pub fn begin(&self) -> Begun {
        Begun(self.state().era)
    }

    /// Whether somebody has asked for a page a moment ago.
    pub fn is_wanted(&self) -> bool {
        self.state().wanted.is_some_and(|asked| asked.elapsed() < WANTED)
    }

    /// Keeps the events of an append that was committed, at these positions.
    pub fn keep(&self, begun: Begun, append: &Append, appended: &Appended, positions: &[Position]) {
        let mut positions = positions.iter();
        let mut places = Vec::with_capacity(positions.len());
        let now = Instant::now();
        for (part, last) in append.streams().iter().zip(&appended.versions) {
            let first = last.0.saturating_sub(part.events.len() as u64);
            for (event, version) in part.events.iter().zip(first + 1..) {
                let Some(&position) = positions.next() else { return };
                let event = RecordedEvent {
                    id: event.id,
                    stream: part.stream.clone(),
                    version: Version(version),
                    position,
                    name: event.name.clone(),
                    schema_version: event.schema_version,
                    codec: event.codec.clone(),
                    payload: event.payload.clone(),
                    metadata: event.metadata.clone(),
                    recorded_at: appended.recorded_at,
                };
                places.push(Place { position, event_id: event.id, event: Some((event, now)) });
            }
        }
        self.state().insert(begun, places);
    }

    /// Keeps events that were read from the store.
    pub fn keep_read(&self, begun: Begun, events: impl IntoIterator<Item = RecordedEvent>) {
        let now = Instant::now();
        let place = |event: RecordedEvent| Place {
            position: event.position,
            event_id: event.id,
            event: Some((event, now)),
        };
        self.state().insert(begun, events.into_iter().map(place));
    }

    /// The end of a page that was read from the store, where a follower goes on.
    pub fn reached(&self, begun: Begun, checkpoint: Checkpoint) {
        let Checkpoint { position, event_id: Some(event_id) } = checkpoint else { return };
        self.state().insert(begun, [Place { position, event_id, event: None }]);
    }

    /// Forgets everything, also what has begun and is not kept yet.
    pub fn forget(&self) {
        let mut state = self.state();
        state.era += 1;
        state.bytes = 0;
        state.places.clear();
    }

    /// What follows `read.after`, if that is known, and if a follower asks. At the end of the page there is nothing more in
    /// memory.
    pub fn page(&self, read: &ReadAll) -> Option<Page> {
        if !read.follows {
            return None;
        }
        let mut state = self.state();
        let now = Instant::now();
        state.wanted = Some(now);
        let begin = state.find(read.after.position).ok()?;
        if read.after.event_id != Some(state.places[begin].event_id) {
            return None;
        }
        let mut page = Page { events: Vec::new(), checkpoint: read.after, end: true };
        let mut bytes = 0_usize;
        for place in state.places.range(begin + 1..) {
            let Place { position, event_id, event } = place;
            let follows = position.0 == page.checkpoint.position.0 + 1;
            let fresh = event.as_ref().filter(|(_, since)| follows && now.duration_since(*since) <= FRESH);
            let Some((event, _)) = fresh else {
                page.end = false;
                break;
            };
            if read.filter.passes(event) {
                bytes = bytes.saturating_add(event.payload.len());
                if !page.events.is_empty() && (page.events.len() >= read.limit || bytes > read.bytes) {
                    page.end = false;
                    break;
                }
                page.events.push(event.clone());
            }
            page.checkpoint = Checkpoint { position: *position, event_id: Some(*event_id) };
        }
        (page.checkpoint.position > read.after.position).then_some(page)
    }
}

impl State {
    fn find(&self, position: Position) -> Result<usize, usize> {
        self.places.binary_search_by_key(&position, |place| place.position)
    }

    fn insert(&mut self, begun: Begun, places: impl IntoIterator<Item = Place>) {
        if begun.0 != self.era {
            return;
        }
        for place in places {
            // What is known has more to it than a place that was reached.
            if let Err(at) = self.find(place.position) {
                self.bytes += place.bytes();
                self.places.insert(at, place);
            }
        }
        while self.places.len() > PLACES_MAX || self.bytes > BYTES_MAX {
            let Some(first) = self.places.pop_front() else { return };
            self.bytes -= first.bytes();
        }
    }
}

impl Place {
    fn bytes(&self) -> usize {
        self.event.as_ref().map_or(0, |(event, _)| event.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::store::Filter;
    use crate::{EventName, Expected, Metadata, NewEvent, StreamId};

    /// A log whose last place a follower has reached.
    struct Log {
        tail: Tail,
        reached: Checkpoint,
    }

    impl Log {
        fn new() -> Self {
            let reached = Checkpoint { position: Position(7), event_id: Some(EventId::new()) };
            let tail = Tail::default();
            tail.reached(tail.begin(), reached);
            Self { tail, reached }
        }

        fn append(&self, stream: &str, positions: &[u64]) {
            self.append_since(self.tail.begin(), stream, positions);
        }

        fn append_since(&self, begun: Begun, stream: &str, positions: &[u64]) {
            let event = || NewEvent {
                id: EventId::new(),
                name: EventName::new("tested").expect("a name"),
                schema_version: 1,
                codec: "json".into(),
                payload: "12345".into(),
                metadata: Metadata::default(),
            };
            let stream = StreamId::new("test", stream).expect("a name");
            let events = positions.iter().map(|_| event()).collect();
            let append = Append::to(stream, Expected::Any, events);
            let positions: Vec<_> = positions.iter().copied().map(Position).collect();
            let appended = Appended {
                position: *positions.last().expect("some"),
                recorded_at: DateTime::UNIX_EPOCH,
                versions: vec![Version(100)],
            };
            self.tail.keep(begun, &append, &appended, &positions);
        }

        fn read(&self) -> ReadAll {
            ReadAll::after(self.reached).following()
        }

        /// The positions of the page that `read` has from memory, and whether it ends there.
        fn page(&self, read: &ReadAll) -> Option<(Vec<u64>, bool)> {
            let page = self.tail.page(read)?;
            Some((page.events.iter().map(|event| event.position.0).collect(), page.end))
        }
    }

    #[test]
    fn what_follows_without_a_hole_is_there() {
        let log = Log::new();
        assert_eq!(log.page(&log.read()), None, "nothing follows");
        log.append("a", &[8, 9]);
        assert_eq!(log.page(&log.read()), Some((vec![8, 9], true)));
        log.append("b", &[11]);
        assert_eq!(log.page(&log.read()), Some((vec![8, 9], false)));
        log.append("c", &[10]);
        let page = log.tail.page(&log.read()).expect("all");
        assert_eq!(page.checkpoint, Checkpoint::from(page.events.last().expect("four")));
        let versions: Vec<_> = page.events.iter().map(|event| event.version.0).collect();
        assert_eq!(versions, [99, 100, 100, 100]);
        assert_eq!(log.page(&ReadAll::after(page.checkpoint).following()), None);
    }

    #[test]
    fn what_was_read_is_there_as_well() {
        let (log, other) = (Log::new(), Log::new());
        other.append("a", &[8, 9]);
        let read = other.tail.page(&other.read()).expect("both").events;
        let begun = log.tail.begin();
        log.tail.keep_read(begun, read.clone());
        assert_eq!(log.tail.page(&log.read()).expect("both").events, read);
        log.tail.forget();
        log.tail.reached(log.tail.begin(), log.reached);
        log.tail.keep_read(begun, read);
        assert_eq!(log.page(&log.read()), None, "it was begun before");
    }

    #[test]
    fn who_does_not_follow_reads_from_the_store() {
        let log = Log::new();
        log.append("a", &[8]);
        assert_eq!(log.page(&ReadAll::after(log.reached)), None);
    }

    #[test]
    fn it_goes_on_only_from_a_place_that_it_knows() {
        let log = Log::new();
        log.append("a", &[8, 9]);
        let from = |position: u64, event_id: Option<EventId>| {
            log.page(&ReadAll::after(Checkpoint { position: Position(position), event_id }).following())
        };
        assert_eq!(from(6, log.reached.event_id), None);
        assert_eq!(from(7, None), None);
        assert_eq!(from(7, Some(EventId::new())), None, "that is a place of another log");
        assert_eq!(from(7, log.reached.event_id), Some((vec![8, 9], true)));
        assert_eq!(log.page(&ReadAll::after(Position::START).following()), None);
    }

    #[test]
    fn what_was_forgotten_does_not_come_back() {
        let log = Log::new();
        log.append("a", &[8]);
        let begun = log.tail.begin();
        log.tail.forget();
        assert_eq!(log.page(&log.read()), None);
        log.tail.reached(begun, log.reached);
        log.append_since(begun, "a", &[8]);
        assert_eq!(log.page(&log.read()), None);
        log.tail.reached(log.tail.begin(), log.reached);
        log.append_since(begun, "a", &[8]);
        assert_eq!(log.page(&log.read()), None, "it was begun before");
        log.append("a", &[8]);
        assert_eq!(log.page(&log.read()), Some((vec![8], true)));
    }

    #[test]
    fn a_page_has_its_limits_and_its_filter() {
        let log = Log::new();
        log.append("a", &[8, 9]);
        log.append("b", &[10]);
        log.append("a", &[11]);
        assert_eq!(log.page(&log.read().limit(3)), Some((vec![8, 9, 10], false)));
        assert_eq!(log.page(&log.read().limit(0)), Some((vec![8], false)));
        assert_eq!(log.page(&log.read().bytes(10)), Some((vec![8, 9], false)));
        assert_eq!(log.page(&log.read().bytes(1)), Some((vec![8], false)));
        let streams = vec![StreamId::new("test", "b").expect("a name")];
        let of_b = log.read().filter(Filter { streams, ..Filter::all() });
        assert_eq!(log.page(&of_b), Some((vec![10], true)));
        assert_eq!(log.tail.page(&of_b).expect("one").checkpoint.position, Position(11));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_told_only_for_a_moment_and_its_place_for_longer() {
        let log = Log::new();
        assert!(!log.tail.is_wanted());
        log.append("a", &[8]);
        tokio::time::advance(FRESH).await;
        assert_eq!(log.page(&log.read()), Some((vec![8], true)));
        let eighth = log.tail.page(&log.read()).expect("one").checkpoint;
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(log.page(&log.read()), None);
        log.append("a", &[9]);
        assert_eq!(log.page(&log.read()), None);
        assert_eq!(log.page(&ReadAll::after(eighth).following()), Some((vec![9], true)));
        assert!(log.tail.is_wanted());
        tokio::time::advance(WANTED).await;
        assert!(!log.tail.is_wanted());
    }

    #[test]
    fn memory_is_bounded() {
        let log = Log::new();
        let most = u64::try_from(PLACES_MAX).expect("few");
        for position in 8..8 + 2 * most {
            log.append("a", &[position]);
        }
        let state = log.tail.state();
        assert_eq!((state.places.len(), state.bytes), (PLACES_MAX, 5 * PLACES_MAX));
        assert_eq!(state.places[0].position.0, 8 + most);
    }
}
