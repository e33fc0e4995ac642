//! A run of orders: begin, kill while they are fulfilled, set the checkpoints back once, wait until all is done, and judge.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use factum_core::store::ReadAll;
use factum_core::{
    Advance, Checkpoint, Partition, Position, ReadDeadLetters, Repository, StoreError, StoreErrorKind,
};
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::customers::Demand;
use super::domain::{Fill, Stock};
use super::roles::{self, Role};
use super::story::Story;
use super::verdict::{self, Ends};
use super::{LEASE, PARTITIONS, STOCK_PER_ITEM, items};
use crate::dice::Dice;
use crate::fault::Postgres;
use crate::flaky::Trace;
use crate::life::REST_MAX;
use crate::outcome::Outcome;
use crate::storm::{Done, Storm};
use crate::target::{Kind, Target};

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) demand: Demand,
    pub(crate) kills: usize,
    pub(crate) nodes: u64,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
}

/// What happened in a run in which every order had its one story.
#[derive(Clone, Debug)]
struct Report {
    plan: Plan,
    done: Done<Role>,
    trace: Trace,
    in_midst: usize,
    ends: Ends,
    events: usize,
    /// Up to where everything was delivered once more.
    delivered_twice: usize,
    time: Duration,
}

/// The subscriptions of the process.
const PARTS: [&str; 3] = ["fulfilment", "fulfilment/commands", "fulfilment/deadlines"];
/// After how many orders, at most, the checkpoints are set back to the beginning.
const SET_BACK_AFTER_MAX: usize = 500;
/// How long no order may come to its end before that is all there is to say.
const PATIENCE: Duration = Duration::from_mins(2);

/// Does it, and judges it.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    let runtime = Runtime::new()?;
    match plan.kind {
        Kind::Postgres => {
            let postgres = Postgres::start(runtime.handle())?;
            let (direct, through) = (postgres.server.url().to_owned(), postgres.proxy.url().to_owned());
            run_on::<PostgresStore>(plan, &runtime, Some(&postgres), &direct, through)
        }
        Kind::Sqlite => {
            let path = plan.folder.join("events.db").display().to_string();
            run_on::<SqliteStore>(plan, &runtime, None, &path, path.clone())
        }
    }
}

fn run_on<T: Target>(
    plan: &Plan,
    runtime: &Runtime,
    postgres: Option<&Postgres>,
    direct: &str,
    through: String,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let orders = usize::try_from(plan.demand.orders)?;
    let store = runtime.block_on(open::<T>(plan, direct))?;
    let mut crew = roles::crew(&plan.folder, through, plan.kind, plan.seed, plan.demand);
    let nodes = || (1..=plan.nodes).map(Role::Node);
    crew.begin(nodes().chain([Role::Customers]))?;
    let storm = Storm::new(crew, postgres, Role::is_node, LEASE, Dice::new(plan.seed, &[12]));
    let mut watch = Watch { plan, runtime, store, storm, story: Story::default(), begun };

    if let Some(said) = watch.storm_until((orders / 4).min(SET_BACK_AFTER_MAX))? {
        return Ok(Outcome::Broken(said));
    }
    watch.storm.calm()?;
    if let Some(said) = watch.storm.crew.stop(Role::is_node, REST_MAX)? {
        return Ok(Outcome::Broken(said));
    }
    runtime.block_on(set_back(&watch.store))?;
    let delivered_twice = watch.story.events;
    watch.storm.crew.begin(nodes())?;
    if let Some(said) = watch.storm_until(orders)? {
        return Ok(Outcome::Broken(said));
    }

    watch.storm.calm()?;
    if let Some(postgres) = postgres {
        postgres.heal()?;
    }
    println!("{}: healed, coming to rest", plan.kind.name());
    if let Some(said) = watch.await_rest()? {
        return Ok(Outcome::Broken(said));
    }
    let (trace, in_midst) = watch.storm.trace();
    let Watch { store, storm, story, .. } = watch;
    runtime.block_on(store.close());
    let ends = match verdict::judge(&story, plan.demand.orders) {
        Ok(ends) => ends,
        Err(said) => return Ok(Outcome::Broken(format!("{said} ({})", storm.done))),
    };
    let (done, events, time) = (storm.done.clone(), story.events, begun.elapsed());
    let plan = plan.clone();
    let report = Report { plan, done, trace, in_midst, ends, events, delivered_twice, time };
    Ok(match report.falls_short() {
        Some(said) => Outcome::TooLittle(format!("{said}\n{report}")),
        None => Outcome::Held(report.to_string()),
    })
}

/// A store with less of each item than is asked for.
async fn open<T: Target>(plan: &Plan, direct: &str) -> anyhow::Result<T> {
    let store = T::open(direct, &mut Dice::new(plan.seed, &[])).await?;
    store.prepare().await?;
    let stock = Repository::<Stock>::new(store.clone());
    for item in 0..items(plan.demand.orders) {
        stock.execute(&format!("item-{item}"), Fill(STOCK_PER_ITEM)).await?;
    }
    Ok(store)
}

/// Has everything delivered once more that was delivered.
async fn set_back(store: &impl Target) -> Result<(), StoreError> {
    for partition in PARTS.iter().flat_map(|part| Partition::all(part, PARTITIONS)) {
        let deadline = Instant::now() + REST_MAX;
        loop {
            let at = store.checkpoint_of(&partition).await?;
            match store.advance(Advance::new(partition.clone(), at, Checkpoint::START)).await {
                Ok(()) => break,
                // Of a node that was killed.
                Err(error) if *error.kind() == StoreErrorKind::LeaseLost && Instant::now() < deadline => {
                    tokio::time::sleep(LEASE / 5).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whoever breaks a run and looks how far it is.
struct Watch<'a, T> {
    plan: &'a Plan,
    runtime: &'a Runtime,
    store: T,
    storm: Storm<'a, Role>,
    story: Story,
    begun: Instant,
}

impl<T: Target> Watch<'_, T> {
    /// Strikes again and again, so often that the kills are over a while before the orders are, until as many of these have come
    /// to their end. Says what went wrong.
    fn storm_until(&mut self, orders: usize) -> anyhow::Result<Option<String>> {
        let all = usize::try_from(self.plan.demand.orders)?;
        let (mut told, mut last) = (Instant::now(), (0, Instant::now()));
        loop {
            self.read_on()?;
            let ended = self.story.ended();
            if ended != last.0 {
                last = (ended, Instant::now());
            }
            if ended >= orders {
                return Ok(None);
            }
            if last.1.elapsed() >= PATIENCE {
                return Ok(Some(format!("{ended} of {all} orders have come to their end, and no more do")));
            }
            if told.elapsed() >= Duration::from_secs(5) {
                told = Instant::now();
                let (name, seconds) = (self.plan.kind.name(), self.begun.elapsed().as_secs());
                println!("{name} {seconds:4} s: {ended} orders are over; {}", self.storm.done);
            }
            // One more than have had their time, and all of them when three fifths of the orders are over: some do not hit.
            let due = (1 + self.plan.kills * ended * 5 / (all * 3)).min(self.plan.kills);
            let said = if self.storm.done.kills.len() < due {
                self.storm.strike()?
            } else {
                self.storm.rest(Duration::from_millis(50))?;
                self.storm.crew.look()?
            };
            if said.is_some() {
                return Ok(said);
            }
        }
    }

    /// Waits until nothing is left to be done, and until everybody has come to their end.
    fn await_rest(&mut self) -> anyhow::Result<Option<String>> {
        let deadline = Instant::now() + REST_MAX * 2;
        loop {
            if let Some(said) = self.storm.crew.look()? {
                return Ok(Some(said));
            }
            self.read_on()?;
            let (checkpoints, timers) = self.runtime.block_on(left(&self.store))?;
            let is_done = checkpoints.iter().all(|checkpoint| *checkpoint >= self.story.end);
            if is_done && timers == 0 {
                break;
            }
            if Instant::now() >= deadline {
                let end = self.story.end;
                return Ok(Some(format!(
                    "{timers} timers are left, and {checkpoints:?} of {end} was reached"
                )));
            }
            thread::sleep(Duration::from_millis(100));
        }
        if let Some(said) = self.storm.crew.stop(|_| true, REST_MAX)? {
            return Ok(Some(said));
        }
        self.read_on()?;
        for part in PARTS {
            let letters = self.runtime.block_on(self.store.dead_letters(ReadDeadLetters::of(part)))?;
            if let Some(letter) = letters.first() {
                return Ok(Some(format!("an event was set aside: {letter:?}")));
            }
        }
        Ok(None)
    }

    /// What has happened since the last look.
    fn read_on(&mut self) -> anyhow::Result<()> {
        loop {
            let read = ReadAll::after(self.story.end).limit(5_000);
            let page = match self.runtime.block_on(self.store.read_all(read)) {
                Ok(page) => page,
                // The connections of the run itself are gone with a server that was killed.
                Err(error) if error.is_transient() => {
                    self.storm.rest(Duration::from_millis(20))?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for event in &page.events {
                self.story.go_on(event)?;
            }
            if page.end || page.events.is_empty() {
                return Ok(());
            }
        }
    }
}

/// How far each part of the process has come, and how many timers are still set, at least.
async fn left(store: &impl Target) -> Result<(Vec<Position>, usize), StoreError> {
    let mut checkpoints = Vec::new();
    for partition in PARTS.iter().flat_map(|part| Partition::all(part, PARTITIONS)) {
        checkpoints.push(store.checkpoint_of(&partition).await?.position);
    }
    let due = store.due_timers(PARTS[0], 1_000).await?;
    Ok((checkpoints, due.timers.len() + usize::from(due.next.is_some())))
}

impl Report {
    /// Why nothing is proven, although nothing was found.
    fn falls_short(&self) -> Option<String> {
        let Self { plan, done, ends, .. } = self;
        let hit = done.kills.len();
        if hit < plan.kills {
            return Some(format!("{} kills were asked for, and {hit} have hit", plan.kills));
        }
        let never = |what: &str| Some(format!("there was no {what}, so nothing is proven of it"));
        match (done, ends) {
            (Done { pauses: 0, .. }, _) => never("pause"),
            (Done { restarts: 0, .. }, _) if plan.kind == Kind::Postgres => never("restart of the server"),
            (_, Ends { shipped: 0, .. }) => never("order that was shipped"),
            (_, Ends { sold_out: 0, .. }) => never("order that was sold out"),
            (_, Ends { refused: 0, .. }) => never("order that was not paid for"),
            (_, Ends { timed_out: 0, .. }) => never("deadline that came"),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, done, trace, in_midst, ends, events, delivered_twice, time } = self;
        let Ends { shipped, shipped_late, sold_out, refused, timed_out } = ends;
        writeln!(f, "  {done}, in {} s", time.as_secs())?;
        writeln!(f, "  {in_midst} of the kills in the midst of a transaction")?;
        let Trace { begun, refused: stale, failed, unknown, .. } = trace;
        writeln!(
            f,
            "  {begun} transactions begun, {failed} steps failed, {unknown} commits of unknown outcome"
        )?;
        writeln!(f, "  {stale} writes of nodes refused whose lease was over")?;
        writeln!(f, "  the first {delivered_twice} of {events} events were all delivered once more")?;
        writeln!(
            f,
            "  {} orders by {} nodes, each step once: {shipped} were shipped,",
            plan.demand.orders, plan.nodes
        )?;
        writeln!(
            f,
            "  {shipped_late} of them paid for when the deadline had come already, {sold_out} sold out,"
        )?;
        write!(f, "  {refused} refused, {timed_out} not paid for in time")
    }
}
