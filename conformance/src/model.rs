//! A store in a `Vec`, written from the laws and from nothing else, and random histories that a store answers as it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::{Append, Appended, Filter, Page, ReadAll, ReadStream};
use factum_core::{
    AppendError, Checkpoint, Checkpoints, Conflict, EventId, EventStore, Expected, IdReused, NewEvent,
    Position, RecordedEvent, StoreErrorKind, StreamId, Version,
};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, subsequence};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::Fixture;
use crate::given::{event_named, some, stream_of};
use crate::seen::{PAGES_MAX, patience};

/// Streams of a history: every other one is of the same category.
const STREAMS: usize = 5;
/// Names of its events.
const NAMES: usize = 3;

/// Whatever is appended, repeated, half repeated and read, in whatever order: the store answers as a store in a `Vec`
/// would. A history that it answers otherwise is made as short as possible and shown.
///
/// `FACTUM_MODEL_CASES` says how many histories are tried, 48 unless told otherwise.
pub async fn random_histories_are_answered_as_by_the_model<F: Fixture>(fixture: F) {
    let cases = std::env::var("FACTUM_MODEL_CASES").map_or(48, |cases| {
        cases.parse().unwrap_or_else(|_| panic!("FACTUM_MODEL_CASES is a number of cases, not {cases:?}"))
    });
    let config = Config {
        cases,
        max_shrink_iters: 2000,
        max_shrink_time: 60_000,
        // A library does not write files beside its user's sources; the history that failed is shown whole.
        failure_persistence: None,
        ..Config::default()
    };
    let (store, tally) = (fixture.store(), Tally::default());
    let outcome = TestRunner::new(config).run(&vec(a_step(), 1..40), |history| {
        tokio::task::block_in_place(|| Handle::current().block_on(replay(store, history, &tally)))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    if cases >= 20 {
        tally.assert_exercised();
    }
}

/// One thing that is done to a store. Which append, position or version is meant depends on what was done before.
#[derive(Clone, Debug)]
enum Step {
    /// An append of new events.
    Append(Vec<Part>),
    /// An earlier append again, perhaps under other expectations.
    Repeat { which: Index, demand: Option<Demand> },
    /// Something that is nearly an earlier append.
    Spoil { which: Index, how: Spoil },
    /// A stream in pages.
    ReadStream { stream: usize, after: u64, limit: usize },
    /// The feed in pages.
    ReadAll { after: Index, filter: Masks, limit: usize },
    /// A checkpoint, from where it is or from somewhere.
    MoveCheckpoint { name: usize, from: Option<Index>, to: Index },
}

#[derive(Clone, Debug)]
struct Part {
    stream: usize,
    demand: Demand,
    /// The name of each event.
    names: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Demand {
    Any,
    NoStream,
    Exists,
    /// Exactly the version that the stream has, and this many more or less.
    Exactly {
        off: i64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Spoil {
    OneMoreAfter,
    OneMoreBefore,
    OneLess,
    AnotherStreamToo,
    Elsewhere,
    Reversed,
    PartsReversed,
}

/// Which of the known categories, streams and names a filter has, bit by bit; one more bit is something unknown.
#[derive(Clone, Copy, Debug)]
struct Masks {
    categories: u8,
    streams: u8,
    names: u8,
}

fn a_step() -> impl Strategy<Value = Step> {
    let demand = || {
        prop_oneof![
            4 => Just(Demand::Exactly { off: 0 }),
            3 => Just(Demand::Any),
            1 => Just(Demand::NoStream),
            1 => Just(Demand::Exists),
            1 => (-2..3_i64).prop_map(|off| Demand::Exactly { off }),
        ]
    };
    let part = (demand(), vec(0..NAMES, 1..4));
    let parts = subsequence((0..STREAMS).collect::<Vec<_>>(), 1..4).prop_shuffle();
    let append = (parts, vec(part, 3)).prop_map(|(streams, parts)| {
        let part = |(stream, (demand, names))| Part { stream, demand, names };
        Step::Append(streams.into_iter().zip(parts).map(part).collect())
    });
    let spoil = prop_oneof![
        Just(Spoil::OneMoreAfter),
        Just(Spoil::OneMoreBefore),
        Just(Spoil::OneLess),
        Just(Spoil::AnotherStreamToo),
        Just(Spoil::Elsewhere),
        Just(Spoil::Reversed),
        Just(Spoil::PartsReversed),
    ];
    // Empty parts of filters, which let everything pass, as often as others.
    let mask = |bits: u32| prop_oneof![Just(0), 1..(1_u8 << bits)];
    let masks = (mask(3), mask(6), mask(4));
    let masks = masks.prop_map(|(categories, streams, names)| Masks { categories, streams, names });
    prop_oneof![
        6 => append,
        2 => (any::<Index>(), proptest::option::of(demand()))
            .prop_map(|(which, demand)| Step::Repeat { which, demand }),
        2 => (any::<Index>(), spoil).prop_map(|(which, how)| Step::Spoil { which, how }),
        2 => (0..=STREAMS, 0..9_u64, 0..6_usize)
            .prop_map(|(stream, after, limit)| Step::ReadStream { stream, after, limit }),
        3 => (any::<Index>(), masks, 0..7_usize)
            .prop_map(|(after, filter, limit)| Step::ReadAll { after, filter, limit }),
        2 => (0..2_usize, proptest::option::of(any::<Index>()), any::<Index>())
            .prop_map(|(name, from, to)| Step::MoveCheckpoint { name, from, to }),
    ]
}

/// What histories came to, all together: a run in which nothing was ever refused has proven little.
#[derive(Debug, Default)]
struct Tally {
    appended: AtomicUsize,
    conflicted: AtomicUsize,
    repeated: AtomicUsize,
    reused: AtomicUsize,
    read: AtomicUsize,
    filtered: AtomicUsize,
    moved: AtomicUsize,
    refused: AtomicUsize,
}

impl Tally {
    fn assert_exercised(&self) {
        let Self { appended, conflicted, repeated, reused, read, filtered, moved, refused } = self;
        for count in [appended, conflicted, repeated, reused, read, filtered, moved, refused] {
            assert!(count.load(Ordering::Relaxed) > 0, "everything happened at least once: {self:?}");
        }
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

macro_rules! ensure {
    ($holds:expr, $($said:tt)+) => {
        if !$holds {
            return Err(TestCaseError::fail(format!($($said)+)));
        }
    };
}

/// The store in a `Vec`.
#[derive(Debug, Default)]
struct Model {
    /// All events, in the order of their positions.
    events: Vec<Fact>,
    /// The appends that happened.
    done: Vec<Done>,
}

#[derive(Clone, Debug, PartialEq)]
struct Fact {
    stream: StreamId,
    version: Version,
    event: NewEvent,
}

#[derive(Debug)]
struct Done {
    append: Append,
    /// What the store answered, which any repeat must be answered with.
    answer: Appended,
}

/// What the laws say about an append.
#[derive(Debug)]
enum Verdict {
    /// It happens, and the last events of its streams get these versions.
    Happens(Vec<Version>),
    /// It has happened, as this one.
    Happened(usize),
    /// It conflicts, in one of these ways.
    Conflicts(Vec<Conflict>),
    /// It has ids that were used, of which one is told.
    Reuses(Vec<IdReused>),
    /// All its ids are recorded where they were to go, by an append that had more of them, or by several. The laws do not
    /// say whether that is a repeat. If it is taken for one, these are the versions; nothing is written in any case.
    Unsaid(Vec<Version>),
}

impl Model {
    fn of_stream(&self, stream: &StreamId) -> Vec<&Fact> {
        self.events.iter().filter(|fact| fact.stream == *stream).collect()
    }

    fn last_version(&self, stream: &StreamId) -> Option<Version> {
        self.of_stream(stream).last().map(|fact| fact.version)
    }

    fn find(&self, id: EventId) -> Option<&Fact> {
        self.events.iter().find(|fact| fact.event.id == id)
    }

    /// What an append comes to, by laws 1 to 4.
    fn verdict(&self, append: &Append) -> Verdict {
        if let Some(at) = self.done.iter().position(|done| is_same(&done.append, append)) {
            return Verdict::Happened(at);
        }
        let mut reused = Vec::new();
        for part in append.streams() {
            for event in &part.events {
                reused.extend(self.find(event.id).map(|fact| IdReused {
                    id: event.id,
                    stream: part.stream.clone(),
                    recorded_stream: fact.stream.clone(),
                    recorded_version: fact.version,
                }));
            }
        }
        if !reused.is_empty() {
            return self.unsaid(append).map_or(Verdict::Reuses(reused), Verdict::Unsaid);
        }
        let mut conflicts = Vec::new();
        let mut versions = Vec::new();
        for part in append.streams() {
            let (stream, expected, actual) = (&part.stream, part.expected, self.last_version(&part.stream));
            let holds = match expected {
                Expected::Any => true,
                Expected::NoStream | Expected::Exactly(Version(0)) => actual.is_none(),
                Expected::Exists => actual.is_some(),
                Expected::Exactly(version) => actual == Some(version),
            };
            if !holds {
                conflicts.push(Conflict { stream: stream.clone(), expected, actual });
            }
            let before = actual.map_or(0, |version| version.0);
            versions.push(Version(before + part.events.len() as u64));
        }
        if conflicts.is_empty() { Verdict::Happens(versions) } else { Verdict::Conflicts(conflicts) }
    }

    /// The versions of an append all of whose ids stand in its streams, in its order and next to each other.
    fn unsaid(&self, append: &Append) -> Option<Vec<Version>> {
        let mut versions = Vec::new();
        for part in append.streams() {
            let mut last = None;
            for event in &part.events {
                let fact = self.find(event.id).filter(|fact| fact.stream == part.stream)?;
                if last.is_some_and(|last: Version| fact.version.0 != last.0 + 1) {
                    return None;
                }
                last = Some(fact.version);
            }
            versions.extend(last);
        }
        Some(versions)
    }

    /// Records an append that happened.
    fn record(&mut self, append: Append, answer: Appended) {
        for part in append.streams() {
            for event in &part.events {
                let version = Version(self.last_version(&part.stream).map_or(0, |version| version.0) + 1);
                self.events.push(Fact { stream: part.stream.clone(), version, event: event.clone() });
            }
        }
        self.done.push(Done { append, answer });
    }
}

/// Whether two appends are the same: the same ids for the same streams in the same order.
fn is_same(one: &Append, other: &Append) -> bool {
    let ids = |append: &Append| -> Vec<(StreamId, Vec<EventId>)> {
        let parts = append.streams().iter();
        parts.map(|part| (part.stream.clone(), part.events.iter().map(|event| event.id).collect())).collect()
    };
    ids(one) == ids(other)
}

/// A store and the model beside it.
struct Replay<'a, S> {
    store: &'a S,
    tally: &'a Tally,
    /// What the names of this history have in common, and those of others that the store may hold do not.
    fresh: String,
    /// Where the history begins.
    start: Position,
    model: Model,
    /// What the store has shown of each event of the model.
    seen: Vec<RecordedEvent>,
    checkpoints: HashMap<String, Position>,
}

async fn replay<S>(store: &S, history: Vec<Step>, tally: &Tally) -> Result<(), TestCaseError>
where
    S: EventStore + Checkpoints,
{
    let fresh = EventId::new().to_string();
    // A store that was used before shows what it held up to here, and nothing of it afterwards.
    let marker = some(&stream_of("model", &fresh), 1);
    let start =
        store.append(marker).await.map_err(|error| TestCaseError::fail(format!("{error:?}")))?.position;
    let mut replay = Replay {
        store,
        tally,
        fresh,
        start,
        model: Model::default(),
        seen: Vec::new(),
        checkpoints: HashMap::new(),
    };
    for (at, step) in history.into_iter().enumerate() {
        let said = format!("{step:?}");
        let checked = replay.step(step).await;
        checked.map_err(|error| TestCaseError::fail(format!("step {at}, {said}: {error}")))?;
    }
    replay.check_all().await
}

impl<S: EventStore + Checkpoints> Replay<'_, S> {
    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Append(parts) => {
                let append = self.plan(parts);
                self.append(append).await
            }
            Step::Repeat { which, demand } => match self.pick(which) {
                Some(append) => {
                    let append = self.demand(append, demand);
                    self.append(append).await
                }
                None => Ok(()),
            },
            Step::Spoil { which, how } => match self.pick(which) {
                Some(append) => {
                    let append = self.spoil(&append, how);
                    self.append(append).await
                }
                None => Ok(()),
            },
            Step::ReadStream { stream, after, limit } => {
                self.read_stream(self.stream(stream), Version(after), limit).await
            }
            Step::ReadAll { after, filter, limit } => {
                self.read_all(self.position(after), self.filter(filter), limit).await
            }
            Step::MoveCheckpoint { name, from, to } => {
                let name = format!("{}-{name}", self.fresh);
                let from = from.map(|from| self.position(from));
                self.move_checkpoint(name, from, self.position(to)).await
            }
        }
    }

    fn category(&self, which: usize) -> String {
        format!("{}-{which}", self.fresh)
    }

    fn stream(&self, which: usize) -> StreamId {
        stream_of(&self.category(which % 2), &which.to_string())
    }

    /// The position of some event, or where the history begins.
    fn position(&self, which: Index) -> Position {
        let which = which.index(self.seen.len() + 1);
        which.checked_sub(1).map_or(self.start, |at| self.seen[at].position)
    }

    fn pick(&self, which: Index) -> Option<Append> {
        let done = &self.model.done;
        (!done.is_empty()).then(|| done[which.index(done.len())].append.clone())
    }

    fn plan(&self, parts: Vec<Part>) -> Append {
        let parts = parts.into_iter().map(|Part { stream, demand, names }| {
            let events = names.into_iter().map(|name| event_named(&format!("name-{name}"))).collect();
            let stream = self.stream(stream);
            let expected = self.expected(&stream, demand);
            (stream, expected, events)
        });
        joined(parts)
    }

    fn expected(&self, stream: &StreamId, demand: Demand) -> Expected {
        match demand {
            Demand::Any => Expected::Any,
            Demand::NoStream => Expected::NoStream,
            Demand::Exists => Expected::Exists,
            Demand::Exactly { off } => {
                let last = self.model.last_version(stream).map_or(0, |version| version.0);
                Expected::Exactly(Version(last.saturating_add_signed(off)))
            }
        }
    }

    /// The same append, under the demand if there is one.
    fn demand(&self, append: Append, demand: Option<Demand>) -> Append {
        joined(append.into_streams().into_iter().map(|part| {
            let expected = demand.map_or(part.expected, |demand| self.expected(&part.stream, demand));
            (part.stream, expected, part.events)
        }))
    }

    /// Something that is nearly the same append.
    fn spoil(&self, append: &Append, how: Spoil) -> Append {
        let mut parts: Vec<_> = append
            .streams()
            .iter()
            .map(|part| (part.stream.clone(), Expected::Any, part.events.clone()))
            .collect();
        let other = (0..STREAMS)
            .map(|which| self.stream(which))
            .find(|stream| parts.iter().all(|(of_part, ..)| of_part != stream))
            .expect("an append has fewer streams than there are");
        let (first, last) = (0, parts.len() - 1);
        match how {
            Spoil::OneMoreAfter => parts[last].2.push(event_named("name-0")),
            Spoil::OneMoreBefore => parts[first].2.insert(0, event_named("name-0")),
            Spoil::OneLess => {
                parts[last].2.pop();
                parts.retain(|(.., events)| !events.is_empty());
                if parts.is_empty() {
                    return append.clone();
                }
            }
            Spoil::AnotherStreamToo => parts.push((other, Expected::Any, vec![event_named("name-0")])),
            Spoil::Elsewhere => parts[first].0 = other,
            Spoil::Reversed => parts.iter_mut().for_each(|(.., events)| events.reverse()),
            Spoil::PartsReversed => parts.reverse(),
        }
        joined(parts.into_iter())
    }

    fn filter(&self, Masks { categories, streams, names }: Masks) -> Filter {
        let set = |mask: u8| (0..8_usize).filter(move |bit| mask & (1 << bit) != 0);
        let names = set(names).map(|name| event_named(&format!("name-{name}")).name);
        Filter {
            categories: set(categories).map(|which| self.category(which)).collect(),
            streams: set(streams).map(|which| self.stream(which)).collect(),
            names: names.collect(),
            ..Filter::all()
        }
    }

    async fn append(&mut self, append: Append) -> Result<(), TestCaseError> {
        let verdict = self.model.verdict(&append);
        let outcome = self.store.append(append.clone()).await;
        let tally = self.tally;
        match (verdict, outcome) {
            (Verdict::Happens(versions), Ok(answer)) => {
                ensure!(answer.versions == versions, "versions {versions:?}, not {answer:?}");
                self.model.record(append, answer.clone());
                count(&tally.appended);
                return self.look(&answer).await;
            }
            (Verdict::Happened(at), Ok(answer)) => {
                let first = &self.model.done[at].answer;
                ensure!(answer == *first, "a repeat is answered with {first:?}, not {answer:?}");
                count(&tally.repeated);
            }
            (Verdict::Conflicts(facts), Err(AppendError::Conflict(fact))) => {
                ensure!(facts.contains(&fact), "one of {facts:?}, not {fact:?}");
                count(&tally.conflicted);
            }
            (Verdict::Reuses(facts), Err(AppendError::IdReused(fact))) => {
                ensure!(facts.contains(&fact), "one of {facts:?}, not {fact:?}");
                count(&tally.reused);
            }
            (Verdict::Unsaid(versions), Ok(answer)) => {
                ensure!(answer.versions == versions, "versions {versions:?}, not {answer:?}");
            }
            (Verdict::Unsaid(_), Err(AppendError::IdReused(_))) => {}
            (verdict, outcome) => {
                return Err(TestCaseError::fail(format!("{append:?} is {verdict:?}, not {outcome:?}")));
            }
        }
        self.look_in_vain().await
    }

    /// Looks at what was just appended: it is in the feed, in order, and there is nothing else.
    async fn look(&mut self, answer: &Appended) -> Result<(), TestCaseError> {
        let mut after = self.seen.last().map_or(self.start.into(), Checkpoint::from);
        let deadline = Instant::now() + patience();
        while self.seen.len() < self.model.events.len() {
            let page = self.page(ReadAll::after(after).limit(100).following()).await?;
            if page.events.is_empty() {
                // A feed may lag, but what it has passed it does not show later.
                let lags = page.checkpoint.position < answer.position && Instant::now() < deadline;
                ensure!(
                    lags,
                    "not all of {answer:?} is in the feed, which is at {}",
                    page.checkpoint.position
                );
                let _ = timeout(Duration::from_millis(50), self.store.wait(page.checkpoint.position)).await;
            }
            for event in page.events {
                let Some(fact) = self.model.events.get(self.seen.len()) else {
                    return Err(TestCaseError::fail(format!("{event:?} was never appended")));
                };
                ensure!(is_of(&event, fact), "{fact:?} comes next in the feed, not {event:?}");
                ensure!(event.recorded_at == answer.recorded_at, "{event:?} has not the time of {answer:?}");
                self.seen.push(event);
            }
            after = page.checkpoint;
        }
        ensure!(self.head() == answer.position, "the last event is at {}, not as in {answer:?}", self.head());
        Ok(())
    }

    /// Looks whether there is an event that there ought not to be.
    async fn look_in_vain(&self) -> Result<(), TestCaseError> {
        let page = self.page(ReadAll::after(self.head()).limit(100)).await?;
        ensure!(page.events.is_empty(), "nothing is written, but there is {:?}", page.events);
        Ok(())
    }

    fn head(&self) -> Position {
        self.seen.last().map_or(self.start, |event| event.position)
    }

    async fn page(&self, read: ReadAll) -> Result<Page, TestCaseError> {
        let page = self.store.read_all(read.clone()).await;
        let page = page.map_err(|error| TestCaseError::fail(format!("{error:?} of {read:?}")))?;
        ensure!(page.events.len() <= read.limit.max(1), "{read:?} gives more events than that: {page:?}");
        let places: Vec<_> = page.events.iter().map(|event| event.position).collect();
        let bounds = std::iter::once(read.after.position).chain(places.iter().copied()).collect::<Vec<_>>();
        ensure!(
            bounds.windows(2).all(|pair| pair[0] < pair[1]),
            "{read:?} gives events in no order: {page:?}"
        );
        ensure!(
            bounds.last() <= Some(&page.checkpoint.position),
            "{read:?} has not looked at its own events: {page:?}"
        );
        ensure!(
            page.end || page.checkpoint.position > read.after.position,
            "{read:?} neither moves on nor is the end: {page:?}"
        );
        Ok(page)
    }

    async fn read_stream(&self, stream: StreamId, after: Version, limit: usize) -> Result<(), TestCaseError> {
        let mut wanted: Vec<_> = self
            .seen
            .iter()
            .filter(|event| event.stream == stream && event.version > after)
            .cloned()
            .collect();
        let mut read = ReadStream::new(stream).after(after).limit(limit);
        loop {
            let page = self.store.read_stream(read.clone()).await;
            let page = page.map_err(|error| TestCaseError::fail(format!("{error:?} of {read:?}")))?;
            let got = page.events.len();
            ensure!(got <= limit.max(1), "{read:?} gives more events than that: {page:?}");
            ensure!(wanted.starts_with(&page.events), "{read:?} gives {wanted:?}, not {page:?}");
            ensure!(
                page.end == (got == wanted.len()),
                "{read:?} gives {wanted:?}, which is the end or not: {page:?}"
            );
            wanted.drain(..got);
            if page.end {
                count(&self.tally.read);
                return Ok(());
            }
            ensure!(got > 0, "{read:?} neither moves on nor is the end: {page:?}");
            read = read.after(page.events[got - 1].version);
        }
    }

    async fn read_all(&self, after: Position, filter: Filter, limit: usize) -> Result<(), TestCaseError> {
        let rest = self.seen.iter().filter(|event| event.position > after);
        let wanted: Vec<_> = rest.filter(|event| filter.passes(event)).cloned().collect();
        let mut found = Vec::new();
        let mut read = ReadAll::after(after).filter(filter).limit(limit);
        for _ in 0..PAGES_MAX {
            let page = self.page(read.clone()).await?;
            found.extend(page.events.iter().cloned());
            let looked_at =
                wanted.iter().take_while(|event| event.position <= page.checkpoint.position).count();
            ensure!(found == wanted[..looked_at], "{read:?} passes over events, or makes some up: {page:?}");
            ensure!(!page.end || found == wanted, "{read:?} says it is the end, but there is more: {page:?}");
            read.after = page.checkpoint;
            if page.end && page.events.is_empty() {
                ensure!(read.after.position >= self.head(), "{read:?} does not move on to {}", self.head());
                count(if read.filter.is_all() { &self.tally.read } else { &self.tally.filtered });
                return Ok(());
            }
        }
        Err(TestCaseError::fail(format!("{read:?} does not come to an end within {PAGES_MAX} pages")))
    }

    async fn move_checkpoint(
        &mut self,
        name: String,
        from: Option<Position>,
        to: Position,
    ) -> Result<(), TestCaseError> {
        let actual = self.checkpoints.get(&name).copied().unwrap_or(Position::START);
        let from = from.unwrap_or(actual);
        match self.store.move_checkpoint(&name, from.into(), to.into()).await {
            Ok(()) => {
                ensure!(from == actual, "the checkpoint is at {actual}, but moves from {from}");
                self.checkpoints.insert(name.clone(), to);
                count(&self.tally.moved);
            }
            Err(error) => {
                let fact = StoreErrorKind::CheckpointMoved { expected: from, actual };
                ensure!(
                    from != actual && *error.kind() == fact,
                    "moving from {from}, at {actual}: {error:?}"
                );
                count(&self.tally.refused);
            }
        }
        let wanted = self.checkpoints.get(&name).copied().unwrap_or(Position::START);
        let found = self.store.checkpoint(&name).await;
        let found = found.map_err(|error| TestCaseError::fail(format!("{error:?}")))?.position;
        ensure!(found == wanted, "the checkpoint is at {wanted}, not at {found}");
        Ok(())
    }

    /// Looks at everything once more: nothing has changed since it was seen first.
    async fn check_all(&self) -> Result<(), TestCaseError> {
        for which in 0..=STREAMS {
            self.read_stream(self.stream(which), Version::NONE, 100).await?;
        }
        self.read_all(self.start, Filter::all(), 100).await
    }
}

/// Whether the store's event is the model's, wherever it stands.
fn is_of(event: &RecordedEvent, fact: &Fact) -> bool {
    let given = NewEvent {
        id: event.id,
        name: event.name.clone(),
        schema_version: event.schema_version,
        codec: event.codec.clone(),
        payload: event.payload.clone(),
        metadata: event.metadata.clone(),
    };
    *fact == Fact { stream: event.stream.clone(), version: event.version, event: given }
}

/// The append of these parts.
fn joined(parts: impl Iterator<Item = (StreamId, Expected, Vec<NewEvent>)>) -> Append {
    let mut whole: Option<Append> = None;
    for (stream, expected, events) in parts {
        whole = Some(match whole {
            None => Append::to(stream, expected, events),
            Some(append) => append.and(stream, expected, events),
        });
    }
    whole.expect("an append has a part")
}
