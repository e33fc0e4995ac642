//! Whatever commands come: what holds of an aggregate always, and that its history gives the same state again.

use std::any::type_name;
use std::fmt::{self, Debug, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::DateTime;
pub use fastrand::Rng;
use serde_json::Value;

use super::handler::record;
use crate::aggregate::{Aggregate, Events, Handle};
use crate::codec::Content;
use crate::envelope::RecordedEvent;
use crate::event::{Event, Route};
use crate::metadata::Metadata;
use crate::stream::{Position, StreamId};

/// How many commands a sequence has at most, unless it is told otherwise.
const COMMANDS_MAX: usize = 64;

/// How many sequences are tried, unless it is told otherwise.
const RUNS: u32 = 256;

/// An aggregate to which random commands come, and what holds of it after each of them.
///
/// Besides what is demanded of it, this holds of every aggregate, and is checked as well:
///
/// - Deciding is pure: the same command on the same state leads to the same events.
/// - A replay of what was stored gives the state that the commands have led to.
/// - So does a replay that goes on from a snapshot after each command, where the aggregate declares [snapshots](crate::snapshot).
/// - Nothing panics, which an overflow in a test build does.
///
/// A sequence that breaks something is made as short as it can be by leaving out commands, and is told with the events and the
/// state it led to. The sequences are the same in each run of the test; [`runs`](Self::runs) and [`seed`](Self::seed) go further.
///
/// ```
/// # use factum::{Aggregate, Apply, Event, Events, Handle};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug)]
/// # #[event(name = "account.deposited")]
/// # struct Deposited { cents: u64 }
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug)]
/// # #[event(name = "account.withdrawn")]
/// # struct Withdrawn { cents: u64 }
/// # #[derive(Event)]
/// # enum AccountEvent { Deposited(Deposited), Withdrawn(Withdrawn) }
/// # #[derive(Aggregate, Default, Debug, PartialEq)]
/// # #[aggregate(category = "account", id = String, event = AccountEvent)]
/// # struct Account { balance: i64 }
/// # impl Apply<Deposited> for Account { fn apply(&mut self, event: Deposited) { self.balance += event.cents as i64; } }
/// # impl Apply<Withdrawn> for Account { fn apply(&mut self, event: Withdrawn) { self.balance -= event.cents as i64; } }
/// # #[derive(Debug)]
/// # struct Deposit { cents: u64 }
/// # #[derive(Debug)]
/// # struct Withdraw { cents: u64 }
/// # impl Handle<Deposit> for Account {
/// #     type Error = &'static str;
/// #     fn handle(&self, command: &Deposit) -> Result<Events<AccountEvent>, Self::Error> {
/// #         Ok(Events::one(Deposited { cents: command.cents }))
/// #     }
/// # }
/// # impl Handle<Withdraw> for Account {
/// #     type Error = &'static str;
/// #     fn handle(&self, command: &Withdraw) -> Result<Events<AccountEvent>, Self::Error> {
/// #         if (self.balance as u64) < command.cents { return Err("there is not enough"); }
/// #         Ok(Events::one(Withdrawn { cents: command.cents }))
/// #     }
/// # }
/// use factum::testing::Invariants;
///
/// Invariants::<Account>::new()
///     .command(|rng, _| Deposit { cents: rng.u64(1..1_000) })
///     .command(|rng, account| Withdraw { cents: rng.u64(1..=account.balance as u64 + 10) })
///     .holds("nobody takes more than there is", |account| account.balance >= 0)
///     .check();
/// ```
#[must_use = "nothing is checked before `check`"]
pub struct Invariants<A: Aggregate> {
    sources: Vec<Source<A>>,
    demands: Vec<(&'static str, Holds<A>)>,
    runs: u32,
    commands_max: usize,
    seed: u64,
}

/// Where commands of one type come from.
struct Source<A> {
    command: &'static str,
    make: Make<A>,
}

type Make<A> = Box<dyn Fn(&mut Rng, &A) -> Box<dyn Command<A>>>;

type Holds<A> = Box<dyn Fn(&A) -> bool>;

/// A command of whatever type.
trait Command<A: Aggregate>: Debug {
    /// What it leads to; `None` if the domain says no.
    fn decide(&self, state: &A) -> Option<Events<A::Event>>;
}

impl<A: Handle<C>, C: Debug> Command<A> for C {
    fn decide(&self, state: &A) -> Option<Events<A::Event>> {
        state.handle(self).ok()
    }
}

/// A command that is to come: of which source, and made of which random numbers. Leaving out another one changes neither.
#[derive(Clone, Copy)]
struct Step {
    source: usize,
    seed: u64,
}

impl<A: Aggregate + Debug + PartialEq> Invariants<A> {
    /// Nothing comes, and nothing is demanded.
    pub fn new() -> Self {
        Self { sources: Vec::new(), demands: Vec::new(), runs: RUNS, commands_max: COMMANDS_MAX, seed: 0 }
    }

    /// Commands like this may come, given random numbers and the state at that time. A command that the domain refuses is
    /// passed over, as long as it is not refused every time.
    pub fn command<C>(mut self, make: impl Fn(&mut Rng, &A) -> C + 'static) -> Self
    where
        A: Handle<C>,
        C: Debug + 'static,
    {
        let make: Make<A> = Box::new(move |rng, state| Box::new(make(rng, state)));
        self.sources.push(Source { command: type_name::<C>(), make });
        self
    }

    /// This holds of the state before the first command and after each; `what` is what the test says if it does not.
    pub fn holds(mut self, what: &'static str, holds: impl Fn(&A) -> bool + 'static) -> Self {
        self.demands.push((what, Box::new(holds)));
        self
    }

    /// So many sequences are tried: 256 unless it is told otherwise.
    pub fn runs(self, runs: u32) -> Self {
        Self { runs, ..self }
    }

    /// A sequence has at most so many commands: 64 unless it is told otherwise, and at least one.
    pub fn commands_max(self, commands: usize) -> Self {
        Self { commands_max: commands.max(1), ..self }
    }

    /// Other sequences: 0 unless it is told otherwise.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Tries all sequences.
    ///
    /// # Panics
    ///
    /// If something does not hold, with the shortest sequence of commands that was found for it. If no command comes, nothing is
    /// tried, or a command was refused every time: then the test says nothing.
    #[track_caller]
    pub fn check(self) {
        assert!(!self.sources.is_empty() && self.runs > 0, "no command comes: the test says nothing");
        let mut accepted = vec![false; self.sources.len()];
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..self.runs {
            let step = |rng: &mut Rng| Step { source: rng.usize(..self.sources.len()), seed: rng.u64(..) };
            let length = rng.usize(1..=self.commands_max);
            let steps: Vec<_> = (0..length).map(|_| step(&mut rng)).collect();
            if let Err(broken) = self.run(&steps, &mut accepted) {
                panic!("{}", self.shortest(steps, broken));
            }
        }
        let refused = self.sources.iter().zip(accepted).find(|(_, accepted)| !accepted);
        if let Some((Source { command, .. }, _)) = refused {
            panic!(
                "`{command}` was refused every time: the test says nothing about it, make values that are accepted"
            );
        }
    }

    /// Leaves out commands for as long as something is broken without them.
    fn shortest(&self, mut steps: Vec<Step>, mut broken: Broken) -> Broken {
        let mut chunk = steps.len() / 2;
        while chunk > 0 {
            let mut from = 0;
            while from < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(from..(from + chunk).min(steps.len()));
                match self.run(&fewer, &mut vec![false; self.sources.len()]) {
                    Err(still) => (steps, broken) = (fewer, still),
                    Ok(()) => from += chunk,
                }
            }
            chunk /= 2;
        }
        broken
    }

    fn run(&self, steps: &[Step], accepted: &mut [bool]) -> Result<(), Broken> {
        let mut history = History::new();
        let went = catch_unwind(AssertUnwindSafe(|| {
            self.holds_of(&history.live)?;
            for step in steps {
                let source = &self.sources[step.source];
                let command = (source.make)(&mut Rng::with_seed(step.seed), &history.live);
                let line = history.told.len();
                history.told.push(format!("{command:?}"));
                accepted[step.source] |= history.take(&*command, line)?;
                self.holds_of(&history.live)?;
            }
            Ok(())
        }));
        let what = match went {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(what)) => what,
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("it panicked: {}", text.unwrap_or_default())
            }
        };
        let state = catch_unwind(AssertUnwindSafe(|| format!("{:?}", history.live))).unwrap_or_default();
        Err(Broken { what, told: history.told, state, seed: self.seed })
    }

    fn holds_of(&self, state: &A) -> Result<(), String> {
        match self.demands.iter().find(|(_, holds)| !holds(state)) {
            Some((what, _)) => Err(format!("this does not hold: {what}")),
            None => Ok(()),
        }
    }
}

impl<A: Aggregate + Debug + PartialEq> Default for Invariants<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Aggregate> Debug for Invariants<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commands: Vec<_> = self.sources.iter().map(|source| source.command).collect();
        let invariants: Vec<_> = self.demands.iter().map(|(what, _)| what).collect();
        f.debug_struct("Invariants")
            .field("commands", &commands)
            .field("invariants", &invariants)
            .finish_non_exhaustive()
    }
}

/// What has happened to an aggregate, and the ways to its state.
struct History<A> {
    /// By the events as they were decided.
    live: A,
    /// By the events as they were stored, from the first on.
    replayed: A,
    /// The same, from the snapshot after the last command on.
    restored: A,
    events: u64,
    /// The commands, with what they led to.
    told: Vec<String>,
}

impl<A: Aggregate + Debug + PartialEq> History<A> {
    fn new() -> Self {
        Self {
            live: A::default(),
            replayed: A::default(),
            restored: A::default(),
            events: 0,
            told: Vec::new(),
        }
    }

    /// Lets a command come, and says whether the domain accepts it.
    fn take(&mut self, command: &dyn Command<A>, line: usize) -> Result<bool, String> {
        let decided = command.decide(&self.live);
        let again = command.decide(&self.live).map(|events| self.stored(events).1);
        let Some(events) = decided else {
            let is_pure = again.is_none();
            self.told[line].push_str(", refused");
            return if is_pure { Ok(false) } else { Err(IMPURE.to_owned()) };
        };
        let (events, stored) = self.stored(events);
        for recorded in &stored {
            let content = content_of(recorded).unwrap_or_default();
            let _ = write!(self.told[line], "\n        {} {content}", recorded.name);
        }
        if again.is_none_or(|again| !is_same(&again, &stored)) {
            return Err(IMPURE.to_owned());
        }
        for event in events {
            event.route(&mut self.live);
        }
        for recorded in &stored {
            for state in [&mut self.replayed, &mut self.restored] {
                let events = A::Event::decode_all(recorded);
                let events = events.map_err(|error| format!("what was stored cannot be read: {error}"))?;
                events.into_iter().for_each(|event| event.route(state));
            }
        }
        self.events += u64::try_from(stored.len()).unwrap_or_default();
        is_state_of("a replay", &self.replayed, &self.live)?;
        if let Some(policy) = A::SNAPSHOT {
            let restored = policy.reread(&self.restored);
            self.restored = restored.map_err(|error| format!("the snapshot cannot be read: {error}"))?;
        }
        is_state_of("a replay from a snapshot", &self.restored, &self.live)?;
        Ok(true)
    }

    /// The events, and as a store has them.
    fn stored(&self, events: Events<A::Event>) -> (Vec<A::Event>, Vec<RecordedEvent>) {
        let events: Vec<_> = events.into_iter().collect();
        let stored = events.iter().zip(self.events + 1..).map(|(event, position)| {
            let stream = StreamId::new(A::CATEGORY, "of the test").expect("the category is a name");
            record(event, stream, Position(position), DateTime::UNIX_EPOCH, Metadata::default())
        });
        let stored = stored.collect();
        (events, stored)
    }
}

const IMPURE: &str = "the same command on the same state led to something else when it was decided again: deciding is without \
                      clock, I/O and chance";

/// Whether two decisions are one: each event has an id of its own.
fn is_same(left: &[RecordedEvent], right: &[RecordedEvent]) -> bool {
    let content = |event: &RecordedEvent| (event.name.clone(), content_of(event));
    left.iter().map(content).eq(right.iter().map(content))
}

/// What an event says, whatever the order is in which a map was written.
fn content_of(event: &RecordedEvent) -> Option<Value> {
    let content = Content::unpack(&event.codec, &event.payload).ok()?;
    content.codec.decode_value(&content.bytes).ok()
}

fn is_state_of<A: Debug + PartialEq>(way: &str, state: &A, live: &A) -> Result<(), String> {
    if state == live { Ok(()) } else { Err(format!("{way} gives another state: {state:?}")) }
}

/// What was broken, and by which commands.
struct Broken {
    what: String,
    told: Vec<String>,
    state: String,
    seed: u64,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, told, state, seed } = self;
        writeln!(f, "{what}")?;
        writeln!(f, "after {} commands, with the seed {seed}:", told.len())?;
        for (number, command) in (1..).zip(told) {
            writeln!(f, "{number:>4}. {command}")?;
        }
        write!(f, "the state is {state}")
    }
}
