//! What is left, compared with what was done.

use std::collections::{BTreeMap, HashMap, HashSet};

use factum_core::retention::{Closing, RESTORED, Retention, TRUNCATED};
use factum_core::store::{Append, Filter, ReadAll, ReadStream};
use factum_core::transfer::{Record, Transfer};
use factum_core::{AppendError, EventId, EventStore, Expected, Position, StreamId, Version};

use super::client::CATEGORIES;
use super::follow::{Place, Seen};
use super::journal::{Answer, Attempt, Deed, Journal};
use crate::given::events;
use crate::seen::walk;

/// How often what was done, so that a test can ask whether it is worth something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Appends, and changes of streams, that were refused or rolled back.
    pub refused: usize,
    /// Those of which nobody knows what came of them.
    pub unknown: usize,
    /// Appends that were sent again, and acknowledged again.
    pub repeated: usize,
    /// Deletions that were acknowledged.
    pub deleted: usize,
    /// Streams that were archived and acknowledged.
    pub archived: usize,
    /// Those that were restored.
    pub restored: usize,
    /// Truncations that were acknowledged.
    pub truncated: usize,
    /// Events that are erased.
    pub erased: usize,
}

/// Asserts that all that was noted, and nothing else, is what the store holds, and what followers saw. Nobody else may use
/// the store any more.
///
/// # Panics
///
/// If something is lost, or there twice, or nobody has asked for it; with what it is.
pub async fn assert_accounted_for<S>(store: &S, journal: &Journal, followers: &[Seen]) -> Tally
where
    S: EventStore + Retention + Transfer,
{
    let attempts = journal.attempts();
    let log = Log::of(store).await;
    log.assert_numbered();
    let mut tally = Tally::default();
    for (stream, places) in &log.streams {
        log.assert_as_its_events_say(stream, places, &mut tally);
        assert_shown(store, &log, stream, places).await;
    }
    assert_noted(&log, &attempts, &mut tally);
    assert_asked_for(&log, &attempts);
    for seen in followers {
        assert_followed(&log, seen);
    }
    // One who comes afterwards sees what is left, and nothing else.
    let end = log.records.last().map_or(Position::START, |held| held.place.position);
    let one = Filter { categories: vec![CATEGORIES[0].to_owned()], ..Filter::all() };
    for filter in [Filter::all(), one] {
        let read = ReadAll::after(Position::START).filter(filter.clone()).limit(1000);
        let feed = walk(store, read, end).await;
        let left = log.records.iter().filter(|held| held.state != State::Erased).map(|held| &held.place);
        let wanted = left.filter(|place| passes(&filter, place)).cloned();
        assert!(feed.iter().map(Place::from).eq(wanted), "{filter:?}: {} events", feed.len());
    }
    for (stream, places) in &log.streams {
        let closing = log.closing_of(places);
        let append = Append::to(stream.clone(), Expected::Any, events(1));
        match (store.append(append).await, closing) {
            (Ok(_), None) => {}
            (Err(AppendError::Closed(closed)), Some(closing)) if closed.closing == closing => {}
            (outcome, _) => panic!("an append to {stream}, which is {closing:?}: {outcome:?}"),
        }
    }
    tally
}

/// What a store holds.
struct Log {
    records: Vec<Held>,
    /// The events of each stream, by their index: the one with version `v` is at index `v - 1`.
    streams: BTreeMap<StreamId, Vec<usize>>,
    ids: HashMap<EventId, usize>,
}

struct Held {
    place: Place,
    state: State,
}

/// What is left of an event, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Live(String),
    Archived(String),
    Erased,
}

impl State {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Live(name) | Self::Archived(name) => Some(name),
            Self::Erased => None,
        }
    }
}

impl Log {
    async fn of(store: &impl Transfer) -> Self {
        let mut log = Self { records: Vec::new(), streams: BTreeMap::new(), ids: HashMap::new() };
        let mut after = Position::START;
        loop {
            let records = store.read_records(after, 1000, usize::MAX).await.expect("records can be read");
            let Some(last) = records.last() else { return log };
            after = last.position();
            for record in records {
                let (place, state) = match record {
                    Record::Live(event) => (Place::from(&event), State::Live(event.name.to_string())),
                    Record::Archived(event) => (Place::from(&event), State::Archived(event.name.to_string())),
                    Record::Erased(factum_core::transfer::Place {
                        id, stream, version, position, ..
                    }) => (Place { position, id, stream, version }, State::Erased),
                };
                let at = log.records.len();
                log.streams.entry(place.stream.clone()).or_default().push(at);
                let other = log.ids.insert(place.id, at);
                assert!(other.is_none(), "{place:?} is there twice");
                log.records.push(Held { place, state });
            }
        }
    }

    /// Law 2 and law 6, over all that is and was.
    fn assert_numbered(&self) {
        assert!(self.records.is_sorted_by(|one, next| one.place.position < next.place.position));
        for places in self.streams.values() {
            for (number, place) in (1..).zip(self.places(places)) {
                assert_eq!(place.version, Version(number), "{place:?}");
            }
        }
    }

    fn places<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a Place> {
        places.iter().map(|&at| &self.records[at].place)
    }

    fn closing_of(&self, places: &[usize]) -> Option<Closing> {
        self.records[*places.last().expect("a stream has events")].state.name().and_then(Closing::of_event)
    }

    /// First what is erased, then what is apart, then what is in use; and why, the stream says.
    fn assert_as_its_events_say(&self, stream: &StreamId, places: &[usize], tally: &mut Tally) {
        let states: Vec<_> = places.iter().map(|&at| &self.records[at].state).collect();
        let said = || format!("{stream}: {states:?}");
        let erased = states.iter().take_while(|state| ***state == State::Erased).count();
        let (last, rest) = states[erased..].split_last().unwrap_or_else(|| panic!("{}", said()));
        assert!(matches!(last, State::Live(_)), "{}", said());
        tally.erased += erased;
        match self.closing_of(places) {
            Some(Closing::Deleted) => {
                assert!(rest.is_empty(), "{}", said());
                return;
            }
            Some(Closing::Archived) => {
                assert!(rest.iter().all(|state| matches!(state, State::Archived(_))), "{}", said());
            }
            None => assert!(rest.iter().all(|state| matches!(state, State::Live(_))), "{}", said()),
        }
        let names: Vec<_> = states[erased..].iter().filter_map(|state| state.name()).collect();
        let is_truncated = names[0] == TRUNCATED;
        assert!(is_truncated || erased == 0, "{}", said());
        assert!(!names[1..].contains(&TRUNCATED), "{}", said());
        for (name, next) in names.iter().zip(&names[1..]) {
            // What had closed it may be the last that was erased.
            let was_closed = Closing::of_event(name).is_some() || (*name == TRUNCATED && *next == RESTORED);
            assert_eq!(was_closed, *next == RESTORED, "{}", said());
        }
    }
}

/// That the ways to read agree with the records.
async fn assert_shown<S: EventStore + Retention>(store: &S, log: &Log, stream: &StreamId, places: &[usize]) {
    let read = || ReadStream::new(stream.clone()).limit(usize::MAX).bytes(usize::MAX);
    let live = store.read_stream(read()).await.expect("a stream can be read").events;
    let archived = store.read_archived(read()).await.expect("a stream can be read").events;
    let held = |is_wanted: fn(&State) -> bool| -> Vec<&Place> {
        places
            .iter()
            .map(|&at| &log.records[at])
            .filter(|held| is_wanted(&held.state))
            .map(|held| &held.place)
            .collect()
    };
    let shown = |events: &[factum_core::RecordedEvent]| events.iter().map(Place::from).collect::<Vec<_>>();
    assert!(shown(&live).iter().eq(held(|state| matches!(state, State::Live(_)))), "{live:?}");
    assert!(shown(&archived).iter().eq(held(|state| matches!(state, State::Archived(_)))), "{archived:?}");
}

/// That what was acknowledged is where its answer says, and what was refused is nowhere.
fn assert_noted(log: &Log, attempts: &[Attempt], tally: &mut Tally) {
    let mut acknowledged = HashSet::new();
    let may_be_there: HashSet<EventId> = attempts
        .iter()
        .filter(|attempt| attempt.may_be_done())
        .filter_map(|attempt| if let Deed::Append(parts) = &attempt.deed { Some(parts) } else { None })
        .flat_map(|parts| parts.iter().flat_map(|(_, ids)| ids).copied())
        .collect();
    for attempt in attempts {
        let place_of = |id: &EventId| log.ids.get(id).map(|&at| &log.records[at].place);
        match (&attempt.deed, &attempt.answer) {
            (Deed::Append(parts), Some(Answer::Done(position, versions))) => {
                let mut last = None;
                assert_eq!(parts.len(), versions.len(), "{attempt:?}");
                for ((stream, ids), version) in parts.iter().zip(versions) {
                    let first = version.0 + 1 - ids.len() as u64;
                    for (number, id) in (first..).zip(ids) {
                        let place = place_of(id).unwrap_or_else(|| panic!("{id} is lost: {attempt:?}"));
                        assert_eq!((&place.stream, place.version.0), (stream, number), "{attempt:?}");
                        assert!(Some(place.position) > last, "{attempt:?}");
                        last = Some(place.position);
                    }
                }
                assert_eq!(last, Some(*position), "{attempt:?}");
                let ids = parts.iter().flat_map(|(_, ids)| ids);
                let new = ids.filter(|id| acknowledged.insert(**id)).count();
                tally.acknowledged += new;
                tally.repeated += usize::from(new == 0);
            }
            (Deed::Append(parts), answer) => {
                let ids: Vec<_> = parts.iter().flat_map(|(_, ids)| ids).collect();
                let there = ids.iter().filter(|id| place_of(id).is_some()).count();
                assert!(there == 0 || there == ids.len(), "{there} events are there of {attempt:?}");
                assert!(there == 0 || may_be_there.contains(ids[0]), "it was refused: {attempt:?}");
                tally.unknown += usize::from(answer.is_none());
                tally.refused += usize::from(answer.is_some());
            }
            (Deed::Truncate(stream, before), Some(Answer::Done(..))) => {
                let gone = log.streams[stream]
                    .iter()
                    .take_while(|&&at| log.records[at].place.version.0 + 1 < before.0);
                let is_gone = gone.map(|&at| &log.records[at].state).all(|state| *state == State::Erased);
                assert!(is_gone, "something is left before the truncation: {attempt:?}");
                tally.truncated += 1;
            }
            (
                Deed::Delete(stream) | Deed::Archive(stream) | Deed::Restore(stream),
                Some(Answer::Done(position, versions)),
            ) => {
                let mut held = log.streams[stream].iter().map(|&at| &log.records[at]);
                let is_it =
                    |held: &&Held| held.place.position == *position && versions[..] == [held.place.version];
                let marker = held.find(is_it);
                let marker = marker.unwrap_or_else(|| panic!("nothing says it in the stream: {attempt:?}"));
                let (id, marker) = (marker.place.id, marker.state.name());
                let closing = marker.and_then(Closing::of_event);
                match attempt.deed {
                    // It is the last for ever.
                    Deed::Delete(_) => {
                        assert_eq!(closing, Some(Closing::Deleted), "{attempt:?}");
                        assert!(held.next().is_none(), "{attempt:?}");
                        tally.deleted += 1;
                    }
                    // What says it may be erased by now.
                    Deed::Archive(_) => {
                        let is_erased = marker.is_none_or(|name| name == TRUNCATED);
                        assert!(is_erased || closing == Some(Closing::Archived), "{attempt:?}");
                        tally.archived += 1;
                    }
                    _ => {
                        assert_eq!(closing, None, "{attempt:?}");
                        // Of a stream that was not archived, it is the last event.
                        tally.restored += usize::from(!may_be_there.contains(&id));
                    }
                }
            }
            (_, Some(Answer::Refused)) => tally.refused += 1,
            (_, None) => tally.unknown += 1,
        }
    }
}

/// That everything there was asked for: events, markers, and that something is erased.
fn assert_asked_for(log: &Log, attempts: &[Attempt]) {
    let (mut ids, mut deleted) = (HashSet::<EventId>::new(), HashSet::new());
    let (mut markers, mut erased) = (HashMap::new(), HashMap::new());
    for attempt in attempts.iter().filter(|attempt| attempt.may_be_done()) {
        match &attempt.deed {
            Deed::Append(parts) => ids.extend(parts.iter().flat_map(|(_, ids)| ids)),
            Deed::Archive(stream) | Deed::Restore(stream) | Deed::Delete(stream) => {
                *markers.entry(stream).or_insert(0) += 1;
                if let Deed::Delete(_) = attempt.deed {
                    deleted.insert(stream);
                }
            }
            Deed::Truncate(stream, before) => {
                let erased = erased.entry(stream).or_insert(Version::NONE);
                *erased = (*erased).max(*before);
            }
        }
    }
    for (stream, places) in log.streams.iter().filter(|(stream, _)| stream.category() != "end") {
        let unasked = log.places(places).filter(|place| !ids.contains(&place.id)).count();
        let asked = markers.get(stream).copied().unwrap_or(0);
        assert!(unasked <= asked, "{unasked} events of {stream} come from {asked} changes");
        if log.closing_of(places) == Some(Closing::Deleted) {
            assert!(deleted.contains(stream), "nobody has asked to delete {stream}");
            continue;
        }
        let before = erased.get(stream).copied().unwrap_or_default();
        for &at in places {
            let Held { place, state } = &log.records[at];
            let is_cut = place.version < before;
            let is_changed = *state == State::Erased || state.name() == Some(TRUNCATED);
            assert!(is_cut || !is_changed, "nobody has asked to erase {place:?}");
        }
    }
}

/// **Law 7**, and that nothing was seen that never was.
fn assert_followed(log: &Log, seen: &Seen) {
    assert!(
        seen.events.is_sorted_by(|one, next| one.position < next.position),
        "a follower of {:?} sees everything once and in order",
        seen.filter
    );
    for place in &seen.events {
        let held = log.ids.get(&place.id).map(|&at| &log.records[at].place);
        assert_eq!(held, Some(place), "a follower of {:?} saw what is not there", seen.filter);
    }
    let known: HashSet<_> = seen.events.iter().map(|place| place.id).collect();
    for Held { place, state } in log.records.iter().filter(|held| held.place.position <= seen.up_to) {
        let is_missed = passes(&seen.filter, place) && *state != State::Erased && !known.contains(&place.id);
        assert!(!is_missed, "a follower of {:?} never saw {place:?}", seen.filter);
    }
}

/// Whether an event passes a filter for categories.
fn passes(filter: &Filter, place: &Place) -> bool {
    filter.categories.is_empty() || filter.categories.iter().any(|it| it == place.stream.category())
}
