//! The machine, stepped: every sequence of events, failures, faults and stops, without a clock and without I/O.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::subscription::Retry;
use crate::{EventId, EventName, Metadata, Version};

fn event(position: u64, stream: u64, version: u64) -> RecordedEvent {
    RecordedEvent {
        id: EventId(uuid::Uuid::from_u128(u128::from(position))),
        stream: StreamId::new("stream", &stream.to_string()).expect("a name"),
        version: Version(version),
        position: Position(position),
        name: EventName::new("tested").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: "{}".into(),
        metadata: Metadata::default(),
        recorded_at: DateTime::UNIX_EPOCH,
    }
}

/// Events of streams, at positions with holes in between.
fn log(streams: &[u64]) -> Vec<RecordedEvent> {
    let mut versions = BTreeMap::new();
    let events = streams.iter().zip(1..).map(|(&stream, number)| {
        let version = versions.entry(stream).or_insert(0);
        *version += 1;
        event(number * 2, stream, *version)
    });
    events.collect()
}

fn failure() -> Failure {
    Failure { handler: "tested".into(), errors: vec!["as the test wants it".into()] }
}

fn settings(on_failure: OnFailure, outlives_a_failure: bool, batch_events: usize) -> Settings {
    Settings { until: Until::Stopped, on_failure, outlives_a_failure, batch_events }
}

/// A store and handlers, as far as a machine can tell, that do as they are told.
struct World {
    log: Vec<RecordedEvent>,
    /// How many of them are there already.
    there: usize,
    outlives_a_failure: bool,
    batch_events: usize,
    checkpoint: Checkpoint,
    letters: BTreeMap<Position, DeadLetter>,
    /// What was done and cannot be undone, in order.
    done: Vec<Position>,
    /// What was done since the last commit, where it can be undone.
    open: Vec<Position>,
    /// Since the last commit or rollback, for the flush.
    gathered: Vec<Position>,
    /// The events that fail, and how often still.
    failing: BTreeMap<Position, u32>,
    /// The events with which a batch cannot be written.
    unwritable: BTreeMap<Position, u32>,
    rests: Vec<Duration>,
}

/// What befalls a step.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    /// The store cannot be reached.
    Unavailable,
    /// The commit happens, or not, and nobody says which.
    Unknown {
        is_done: bool,
    },
    /// An operator asks for all dead letters again.
    Retry,
    /// Another event has happened.
    More,
    /// The batch has taken long.
    Late,
}

impl World {
    fn new(streams: &[u64], settings: Settings) -> Self {
        let log = log(streams);
        Self {
            there: log.len(),
            log,
            outlives_a_failure: settings.outlives_a_failure,
            batch_events: settings.batch_events,
            checkpoint: Checkpoint::START,
            letters: BTreeMap::new(),
            done: Vec::new(),
            open: Vec::new(),
            gathered: Vec::new(),
            failing: BTreeMap::new(),
            unwritable: BTreeMap::new(),
            rests: Vec::new(),
        }
    }

    fn fails(mut self, number: u64, times: u32) -> Self {
        self.failing.insert(Position(number * 2), times);
        self
    }

    fn cannot_be_written(mut self, number: u64, times: u32) -> Self {
        self.unwritable.insert(Position(number * 2), times);
        self
    }

    fn parked(&self) -> ParkedStreams {
        let holding = self.letters.values().filter(|letter| letter.letter.holds_stream);
        let streams = holding.map(|letter| letter.letter.event.stream.clone()).collect();
        ParkedStreams { streams, count: self.letters.len() as u64 }
    }

    fn page(&self, after: Checkpoint) -> Page {
        let rest = self.log[..self.there].iter().filter(|event| event.position > after.position);
        // Sometimes as many as a batch takes, sometimes more.
        let page_events = self.batch_events + self.there % 3 * 2;
        let events: Vec<_> = rest.take(page_events).cloned().collect();
        let last = self.log[..self.there].last().map_or(Checkpoint::START, Checkpoint::from);
        let checkpoint = events.last().map_or(last, Checkpoint::from);
        let end = checkpoint.position == last.position;
        Page { events, checkpoint, end }
    }

    /// Does a step as it befalls.
    fn take(&mut self, step: Step, machine: &Machine, fate: Fate) -> Input {
        let kind = match fate {
            Fate::Unavailable => Some(StoreErrorKind::Unavailable),
            Fate::Unknown { .. } => Some(StoreErrorKind::OutcomeUnknown),
            _ => None,
        };
        match fate {
            Fate::Retry => self.letters.values_mut().for_each(|letter| letter.is_due = true),
            Fate::More => self.there = self.log.len().min(self.there + 1),
            _ => {}
        }
        let is_rest = matches!(step, Step::Rest(_) | Step::Wait { .. });
        let can_be_ill =
            !(is_rest || matches!(step, Step::Handle { .. } | Step::RollBack) && self.outlives_a_failure);
        if let Some(kind) = kind.filter(|_| can_be_ill) {
            if let (Step::Commit(commit), Fate::Unknown { is_done: true }) = (&step, fate) {
                self.commit(commit.clone());
            }
            self.roll_back();
            return Input::Ill(StoreError::new(kind, "test"));
        }
        match step {
            Step::Load => Input::Loaded { checkpoint: self.checkpoint, parked: self.parked() },
            Step::Read(after) => Input::Page(self.page(after)),
            Step::Handle { turn } => self.handle(turn, machine.event().position),
            Step::Commit(commit) => {
                let is_unwritable = |at: &&Position| self.unwritable.get(at).is_some_and(|times| *times > 0);
                if let Some(at) = self.gathered.iter().find(is_unwritable).copied() {
                    *self.unwritable.entry(at).or_default() -= 1;
                    return Input::FlushFailed(failure());
                }
                self.commit(commit);
                Input::Committed
            }
            Step::RollBack => {
                self.roll_back();
                Input::RolledBack
            }
            Step::LookForDue => {
                let mut held = BTreeSet::new();
                let first = self.letters.values().filter(|letter| {
                    !letter.letter.holds_stream || held.insert(letter.letter.event.stream.to_string())
                });
                let due = first.filter(|letter| letter.is_due).map(|letter| {
                    let at = letter.letter.event.position;
                    (letter.clone(), self.log.iter().find(|event| event.position == at).cloned())
                });
                Input::Due { due: due.collect(), parked: self.parked() }
            }
            Step::Rest(time) => {
                self.rests.push(time);
                Input::Rested
            }
            Step::Wait { at_most, .. } => {
                if at_most.is_some() {
                    Input::Rested
                } else {
                    Input::Woken
                }
            }
            Step::Finish(_) => unreachable!("nothing comes after the end"),
        }
    }

    fn handle(&mut self, turn: usize, at: Position) -> Input {
        if let Some(times) = self.failing.get_mut(&at).filter(|times| **times > 0) {
            *times -= 1;
            return Input::Failed { turn: turn.max(1), failure: failure() };
        }
        if self.outlives_a_failure {
            self.done.push(at);
        } else {
            self.open.push(at);
        }
        self.gathered.push(at);
        Input::Handled
    }

    fn roll_back(&mut self) {
        self.open.clear();
        self.gathered.clear();
    }

    /// As a store does, and that nothing is passed over by it.
    fn commit(&mut self, commit: Commit) {
        let Commit { from, to, parked, settled } = commit;
        let is_passed =
            |event: &&RecordedEvent| event.position > from.position && event.position <= to.position;
        let passed = self.log[..self.there].iter().filter(is_passed).count();
        assert!(passed <= self.batch_events, "{passed} events share a checkpoint");
        assert_eq!(from.position, self.checkpoint.position, "it is moved from where it is");
        assert!(to.position >= from.position, "it is never moved back");
        let had: BTreeSet<_> = self.letters.keys().copied().collect();
        self.done.append(&mut self.open);
        self.gathered.clear();
        for letter in parked {
            let position = letter.event.position;
            let is_due = letter.failure.is_none();
            let (subscription, parked_at) = ("s".to_owned(), DateTime::UNIX_EPOCH);
            self.letters.insert(position, DeadLetter { subscription, letter, parked_at, is_due });
        }
        for position in settled {
            assert!(self.done.contains(&position), "{position:?} was settled and not handled");
            assert!(self.letters.remove(&position).is_some());
        }
        let passed =
            self.log.iter().filter(|event| event.position > from.position && event.position <= to.position);
        for event in passed {
            let at = event.position;
            assert!(
                self.done.contains(&at) || (self.letters.contains_key(&at) && !had.contains(&at)),
                "{at:?} was passed over"
            );
        }
        self.checkpoint = to;
    }

    /// Runs until it ends by itself or `steps` are over, with these fates, and then with none.
    fn run(&mut self, machine: &mut Machine, fates: &[Fate], steps: usize) -> Option<End> {
        let mut fates = fates.iter().copied();
        for _ in 0..steps {
            let step = machine.next();
            if let Step::Finish(end) = step {
                return Some(end);
            }
            let fate = fates.next().unwrap_or(Fate::Well);
            let input = self.take(step, machine, fate);
            let is_handled = matches!(input, Input::Handled);
            machine.tell(input);
            if is_handled && matches!(fate, Fate::Late) {
                machine.end_batch();
            }
        }
        None
    }

    /// Whether everything that is there was handled or set aside, each at least once and in the order of its stream.
    fn assert_complete_and_in_order(&self) {
        for event in &self.log[..self.there] {
            let is_known = self.done.contains(&event.position) || self.letters.contains_key(&event.position);
            assert!(is_known, "{:?} is missing", event.position);
        }
        self.assert_order();
    }

    fn assert_order(&self) {
        let mut first_times: BTreeMap<&StreamId, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for at in self.done.iter().filter(|at| seen.insert(**at)) {
            let event = self.log.iter().find(|event| event.position == *at).expect("it is of the log");
            let last = first_times.insert(&event.stream, event.version.0).unwrap_or(0);
            assert!(
                event.version.0 > last,
                "{} was handled after {last} of {}",
                event.version.0,
                event.stream
            );
        }
    }
}

fn park_stream(attempts: u32) -> OnFailure {
    Retry::times(attempts).then_park_stream()
}

#[test]
fn what_is_there_is_handled_once_and_then_it_waits() {
    for outlives in [true, false] {
        let settings = settings(OnFailure::stop(), outlives, 2);
        let (mut world, mut machine) = (World::new(&[1, 2, 1, 3, 1], settings), Machine::new(settings));
        assert_eq!(world.run(&mut machine, &[], 60), None);
        assert_eq!(world.done, [2, 4, 6, 8, 10].map(Position));
        assert_eq!(world.checkpoint.position, Position(10));
        machine.stop();
        assert_eq!(world.run(&mut machine, &[], 5), Some(End::Stopped));
    }
}

#[test]
fn catching_up_ends_where_the_log_does() {
    let settings = Settings { until: Until::CaughtUp, ..settings(OnFailure::stop(), false, 3) };
    let (mut world, mut machine) = (World::new(&[1, 1, 1, 1], settings), Machine::new(settings));
    assert_eq!(world.run(&mut machine, &[], 100), Some(End::CaughtUp));
    assert_eq!(world.done.len(), 4);
}

#[test]
fn a_failure_stops_before_its_event_and_keeps_what_came_before() {
    for outlives in [true, false] {
        let settings = settings(OnFailure::stop(), outlives, 10);
        let mut world = World::new(&[1, 2, 3, 4], settings).fails(3, 9);
        assert_eq!(world.run(&mut Machine::new(settings), &[], 100), Some(End::Failed));
        assert_eq!(world.done, [2, 4].map(Position), "each once, also where it was rolled back meanwhile");
        assert_eq!(world.checkpoint.position, Position(4));
        assert_eq!(world.failing[&Position(6)], 8, "it was tried once");
    }
}

#[test]
fn what_fails_is_tried_again_as_often_as_was_chosen_and_with_growing_waits() {
    for outlives in [true, false] {
        let policy = Retry::times(4).waits(Duration::from_secs(1), Duration::from_secs(2)).then_stop();
        let settings = settings(policy, outlives, 10);
        let mut world = World::new(&[1, 2, 3], settings).fails(2, 3);
        world.run(&mut Machine::new(settings), &[], 100);
        assert_eq!(world.done, [2, 4, 6].map(Position));
        assert_eq!(world.rests, [1, 2, 2].map(Duration::from_secs));
        let mut world = World::new(&[1, 2, 3], settings).fails(2, 4);
        assert_eq!(world.run(&mut Machine::new(settings), &[], 100), Some(End::Failed));
    }
}

#[test]
fn an_attempt_resumes_at_the_handler_that_failed_where_the_others_cannot_be_undone() {
    for (outlives, expected) in [(true, vec![0, 0, 1, 0]), (false, vec![0, 0, 0, 0, 0])] {
        let settings = settings(Retry::times(2).then_stop(), outlives, 10);
        let mut world = World::new(&[1, 2, 3], settings).fails(2, 1);
        let (mut machine, mut turns) = (Machine::new(settings), Vec::new());
        for _ in 0..40 {
            let step = machine.next();
            if let Step::Handle { turn } = step {
                turns.push(turn);
            }
            let input = world.take(step, &machine, Fate::Well);
            machine.tell(input);
        }
        assert_eq!(turns, expected);
    }
}

#[test]
fn a_batch_that_is_ended_early_is_committed_where_it_could_come_again() {
    for (outlives, checkpoint) in [(true, 2), (false, 0)] {
        let settings = settings(OnFailure::stop(), outlives, 10);
        let mut world = World::new(&[1, 2, 3], settings);
        let mut machine = Machine::new(settings);
        // Loads, reads, and handles the first; the next step is what comes of it.
        world.run(&mut machine, &[Fate::Well, Fate::Well, Fate::Late, Fate::Well], 4);
        assert_eq!(world.checkpoint.position, Position(checkpoint));
        world.run(&mut machine, &[], 20);
        assert_eq!(world.checkpoint.position, Position(6));
        world.assert_complete_and_in_order();
    }
}

#[test]
fn a_parked_event_holds_its_stream_and_no_other() {
    for outlives in [true, false] {
        let settings = settings(park_stream(2), outlives, 2);
        let mut world = World::new(&[1, 2, 1, 2, 1], settings).fails(1, 2);
        let mut machine = Machine::new(settings);
        world.run(&mut machine, &[], 60);
        assert_eq!(world.done, [4, 8].map(Position));
        let letters: Vec<_> = world
            .letters
            .values()
            .map(|letter| (letter.letter.event.position.0, letter.letter.attempts))
            .collect();
        assert_eq!(letters, [(2, 2), (6, 0), (10, 0)]);
        assert_eq!(world.checkpoint.position, Position(10));
        // Asked for again, all of the stream follow, in their order.
        world.run(&mut machine, &[Fate::Retry], 60);
        assert_eq!(world.done, [4, 8, 2, 6, 10].map(Position));
        assert!(world.letters.is_empty());
    }
}

#[test]
fn a_dead_letter_that_fails_again_stays_and_counts() {
    for outlives in [true, false] {
        let settings = settings(park_stream(1), outlives, 2);
        let mut world = World::new(&[1, 1], settings).fails(1, 2);
        let mut machine = Machine::new(settings);
        world.run(&mut machine, &[], 40);
        world.run(&mut machine, &[Fate::Retry], 40);
        let first = &world.letters[&Position(2)];
        assert_eq!((first.letter.attempts, first.is_due), (2, false));
        assert!(world.done.is_empty(), "the second waits");
    }
}

#[test]
fn an_event_that_is_parked_alone_holds_nobody() {
    let settings = settings(Retry::times(1).then_park_event(), false, 10);
    let mut world = World::new(&[1, 1, 1], settings).fails(2, 1);
    world.run(&mut Machine::new(settings), &[], 60);
    assert_eq!(world.done, [2, 6].map(Position));
    assert_eq!(world.letters.keys().copied().collect::<Vec<_>>(), [Position(4)]);
}

#[test]
fn an_event_with_which_a_batch_cannot_be_written_is_found_and_set_aside() {
    for outlives in [true, false] {
        let settings = settings(park_stream(2), outlives, 8);
        let mut world = World::new(&[1, 2, 3, 4, 5, 6, 7, 8], settings).cannot_be_written(6, u32::MAX);
        world.run(&mut Machine::new(settings), &[], 400);
        assert_eq!(world.letters.keys().copied().collect::<Vec<_>>(), [Position(12)]);
        world.assert_complete_and_in_order();
    }
}

#[test]
fn an_ill_store_is_no_failure_of_a_handler() {
    let settings = settings(OnFailure::stop(), false, 3);
    let mut world = World::new(&[1, 2, 3, 4, 5], settings);
    let fates = [Fate::Unavailable; 30];
    assert_eq!(world.run(&mut Machine::new(settings), &fates, 200), None);
    assert_eq!(world.done, [2, 4, 6, 8, 10].map(Position));
}

#[test]
fn a_commit_whose_outcome_is_unknown_is_asked_for_and_not_made_twice() {
    for (outlives, is_done) in [(true, true), (true, false), (false, true), (false, false)] {
        let settings = settings(OnFailure::stop(), outlives, 3);
        let mut world = World::new(&[1, 2, 3, 4, 5], settings);
        let fates = [Fate::Unknown { is_done }; 40];
        let mut machine = Machine::new(settings);
        assert_eq!(world.run(&mut machine, &fates, 300), None, "it goes on");
        assert_eq!(world.done, [2, 4, 6, 8, 10].map(Position));
    }
}

#[test]
fn a_lost_lease_ends_it() {
    let settings = settings(park_stream(2), true, 3);
    let mut machine = Machine::new(settings);
    assert_eq!(machine.next(), Step::Load);
    machine.tell(Input::Ill(StoreError::new(StoreErrorKind::LeaseLost, "test")));
    assert_eq!(machine.next(), Step::Finish(End::Ill));
}

#[test]
fn a_checkpoint_that_somebody_else_has_moved_ends_it() {
    let settings = settings(park_stream(2), false, 3);
    let mut world = World::new(&[1, 1], settings);
    let mut machine = Machine::new(settings);
    loop {
        let step = machine.next();
        if matches!(step, Step::Commit(_)) {
            break;
        }
        let input = world.take(step, &machine, Fate::Well);
        machine.tell(input);
    }
    machine.tell(Input::Ill(StoreError::new(StoreErrorKind::OutcomeUnknown, "test")));
    assert!(matches!(machine.next(), Step::Rest(_)));
    machine.tell(Input::Rested);
    assert_eq!(machine.next(), Step::Load);
    machine.tell(Input::Loaded { checkpoint: Position(3).into(), parked: ParkedStreams::default() });
    let (expected, actual) = (Position(0), Position(3));
    assert_eq!(machine.next(), Step::Finish(End::Moved { expected, actual }));
}

#[test]
fn a_log_that_gives_nothing_and_does_not_end_is_noticed() {
    let settings = settings(OnFailure::stop(), false, 3);
    let mut machine = Machine::new(settings);
    assert_eq!(machine.next(), Step::Load);
    machine.tell(Input::Loaded { checkpoint: Checkpoint::START, parked: ParkedStreams::default() });
    assert_eq!(machine.next(), Step::Read(Checkpoint::START));
    machine.tell(Input::Page(Page { events: Vec::new(), checkpoint: Checkpoint::START, end: false }));
    assert_eq!(machine.next(), Step::Finish(End::Stuck(Position::START)));
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Well),
        2 => Just(Fate::Unavailable),
        1 => any::<bool>().prop_map(|is_done| Fate::Unknown { is_done }),
        1 => Just(Fate::Retry),
        3 => Just(Fate::More),
        3 => Just(Fate::Late),
    ]
}

fn policy() -> impl Strategy<Value = OnFailure> {
    (1_u32..4, 0_u8..3).prop_map(|(attempts, then)| match then {
        0 => Retry::times(attempts).then_stop(),
        1 => Retry::times(attempts).then_park_stream(),
        _ => Retry::times(attempts).then_park_event(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever happens: nothing is passed over (see [`World::commit`]), streams keep their order unless an event was
    /// parked alone, what is in a transaction happens once; and with time and luck everything is done.
    #[test]
    fn nothing_is_skipped_whatever_happens(
        streams in prop::collection::vec(0_u64..4, 0..24),
        there in 0_usize..24,
        failing in prop::collection::btree_map(1_u64..25, 1_u32..6, 0..5),
        unwritable in prop::collection::btree_map(1_u64..25, 1_u32..6, 0..3),
        fates in prop::collection::vec(fate(), 0..150),
        stop_after in prop::option::of(0_usize..150),
        policy in policy(),
        outlives in any::<bool>(),
        batch in 1_usize..6,
    ) {
        let settings = settings(policy, outlives, batch);
        let mut world = World::new(&streams, settings);
        world.there = there.min(streams.len());
        world.failing = failing.into_iter().map(|(number, times)| (Position(number * 2), times)).collect();
        world.unwritable = unwritable.into_iter().map(|(number, times)| (Position(number * 2), times)).collect();
        let parks_alone = policy.then() == Then::Park { holds_stream: false };

        // It is stopped, or crashes, or stops by itself, and is run again.
        let split = stop_after.unwrap_or(fates.len()).min(fates.len());
        let (before, after) = fates.split_at(split);
        let mut machine = Machine::new(settings);
        world.run(&mut machine, before, before.len());
        if stop_after.is_some() {
            machine.stop();
            let end = world.run(&mut machine, &[], 50);
            prop_assert!(end.is_some(), "it goes on after it was stopped");
        }
        world.roll_back();
        // Often enough for everything that fails to have failed as often as it will.
        for fates in std::iter::once(after).chain([&[] as &[Fate]; 45]) {
            let mut machine = Machine::new(settings);
            world.run(&mut machine, fates, fates.len() + 300);
            world.roll_back();
            world.there = world.log.len();
            world.letters.values_mut().for_each(|letter| letter.is_due = true);
            if !parks_alone {
                world.assert_order();
            }
        }
        world.run(&mut Machine::new(settings), &[], 2000);
        prop_assert!(world.letters.is_empty(), "{:?}", world.letters);
        if !parks_alone {
            world.assert_complete_and_in_order();
        }
        if !outlives {
            let distinct: BTreeSet<_> = world.done.iter().collect();
            prop_assert_eq!(distinct.len(), world.done.len(), "once");
        }
        prop_assert_eq!(world.checkpoint.position, world.log.last().map_or(Position::START, |last| last.position));
    }
}
