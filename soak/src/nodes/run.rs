//! A run of nodes: begin, kill until it was often enough, heal, wait until all is counted, and judge.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use factum_core::store::ReadAll;
use factum_core::{Position, RecordedEvent};
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::node::Care;
use super::roles::{self, Role};
use super::tally::{Rows, Tally};
use super::{LEASE, STREAMS, verdict};
use crate::dice::Dice;
use crate::fault::Postgres;
use crate::flaky::Trace;
use crate::life::REST_MAX;
use crate::outcome::Outcome;
use crate::storm::{Done, Storm};
use crate::target::Kind;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) kills: usize,
    pub(crate) nodes: u64,
    /// How many events are appended in a second.
    pub(crate) rate: u64,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
    pub(crate) care: Care,
}

/// What happened in a run in which everything was counted once.
#[derive(Clone, Debug)]
struct Report {
    plan: Plan,
    done: Done<Role>,
    trace: Trace,
    in_midst: usize,
    events: usize,
    time: Duration,
}

/// A kill takes less, also on a machine that has other work.
const EACH_MAX: Duration = Duration::from_secs(6);

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

fn run_on<T: Tally>(
    plan: &Plan,
    runtime: &Runtime,
    postgres: Option<&Postgres>,
    direct: &str,
    through: String,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let store = runtime.block_on(async {
        let store = T::open(direct, &mut Dice::new(plan.seed, &[])).await?;
        store.prepare_tally().await?;
        anyhow::Ok(store)
    })?;
    let mut crew = roles::crew(&plan.folder, through, plan.kind, plan.seed, plan.rate, plan.care);
    crew.begin((1..=plan.nodes).map(Role::Node).chain([Role::Appender]))?;
    let mut storm = Storm::new(crew, postgres, Role::is_node, LEASE, Dice::new(plan.seed, &[7]));
    let deadline = Instant::now() + EACH_MAX * u32::try_from(plan.kills + 10)?;
    let mut told = Instant::now();
    while storm.done.kills.len() < plan.kills && Instant::now() < deadline {
        if let Some(said) = storm.strike()? {
            return Ok(Outcome::Broken(said));
        }
        if told.elapsed() >= Duration::from_secs(5) {
            told = Instant::now();
            println!("{} {:4} s: {}", plan.kind.name(), begun.elapsed().as_secs(), storm.done);
        }
    }
    storm.calm()?;
    if let Some(postgres) = postgres {
        postgres.heal()?;
    }
    println!("{}: healed, coming to rest", plan.kind.name());
    if let Some(said) = storm.crew.stop(|role| role == Role::Appender, REST_MAX)? {
        return Ok(Outcome::Broken(said));
    }
    let log = runtime.block_on(log_of(&store))?;
    let expected = verdict::expected(&log)?;
    let counted = match await_all(&mut storm, runtime, &store, &expected)? {
        Ok(counted) => counted,
        Err(said) => return Ok(Outcome::Broken(said)),
    };
    runtime.block_on(store.close());
    if let Err(said) = verdict::judge(&expected, &counted) {
        return Ok(Outcome::Broken(format!("{said} ({})", storm.done)));
    }
    let (trace, in_midst) = storm.trace();
    let (done, time) = (storm.done.clone(), begun.elapsed());
    let report = Report { plan: plan.clone(), done, trace, in_midst, events: log.len(), time };
    Ok(match report.falls_short() {
        Some(said) => Outcome::TooLittle(format!("{said}\n{report}")),
        None => Outcome::Held(report.to_string()),
    })
}

/// Waits until all was seen, and until the nodes have come to their end; or says what they have not seen.
fn await_all<T: Tally>(
    storm: &mut Storm<'_, Role>,
    runtime: &Runtime,
    store: &T,
    expected: &Rows,
) -> anyhow::Result<Result<Rows, String>> {
    let deadline = Instant::now() + REST_MAX;
    loop {
        if let Some(said) = storm.crew.look()? {
            return Ok(Err(said));
        }
        let counted = runtime.block_on(store.rows())?;
        if verdict::is_caught_up(expected, &counted) {
            break;
        }
        if Instant::now() >= deadline {
            let said = verdict::judge(expected, &counted).err().unwrap_or_default();
            return Ok(Err(format!("nodes stand still: {said}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    // Whoever would count something twice has time to: others take over once more.
    thread::sleep(LEASE * 2);
    if let Some(said) = storm.crew.stop(|_| true, REST_MAX)? {
        return Ok(Err(said));
    }
    Ok(Ok(runtime.block_on(store.rows())?))
}

async fn log_of<T: Tally>(store: &T) -> anyhow::Result<Vec<RecordedEvent>> {
    let head = store.head().await?;
    let (mut read, mut log) = (ReadAll::after(Position::START), Vec::new());
    let deadline = Instant::now() + REST_MAX;
    while read.after.position < head {
        let page = store.read_all(read.clone()).await?;
        anyhow::ensure!(Instant::now() < deadline, "the feed stands still at {}", read.after.position);
        read.after = page.checkpoint;
        log.extend(page.events);
        if page.end && read.after.position < head {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(log)
}

impl Report {
    /// Why nothing is proven, although nothing was found.
    fn falls_short(&self) -> Option<String> {
        let Self { plan, done, .. } = self;
        let hit = done.kills.len();
        if hit < plan.kills {
            return Some(format!("{} kills were asked for, and {hit} have hit", plan.kills));
        }
        let is_unbroken = |what: &str| Some(format!("there was no {what}, so nothing is proven of it"));
        match done {
            Done { pauses: 0, .. } => is_unbroken("pause"),
            Done { restarts: 0, .. } if plan.kind == Kind::Postgres => is_unbroken("restart of the server"),
            _ => None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, done, trace, in_midst, events, time } = self;
        writeln!(f, "  {done}, in {} s", time.as_secs())?;
        writeln!(f, "  {in_midst} of the kills in the midst of a transaction")?;
        let Trace { begun, refused, unknown, .. } = trace;
        writeln!(f, "  {begun} transactions begun, {unknown} commits of unknown outcome")?;
        writeln!(f, "  {refused} writes of nodes refused whose lease was over")?;
        write!(
            f,
            "  {events} events on {STREAMS} streams, each counted once and in order by {} nodes",
            plan.nodes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: Kind, kills: u64, pauses: usize, restarts: usize) -> Report {
        let folder = PathBuf::new();
        let plan = Plan { kind, kills: 3, nodes: 4, rate: 1, seed: 1, folder, care: Care::ExactlyOnce };
        let kills = (1..=kills).map(|life| (Role::Node(1), life)).collect();
        let done = Done { kills, missed: 7, pauses, restarts, ..Done::default() };
        Report { plan, done, trace: Trace::default(), in_midst: 0, events: 0, time: Duration::ZERO }
    }

    #[test]
    fn a_run_in_which_too_little_was_broken_proves_nothing() {
        assert_eq!(report(Kind::Postgres, 3, 1, 1).falls_short(), None);
        assert_eq!(report(Kind::Sqlite, 3, 1, 0).falls_short(), None, "it has no server");
        for too_little in [(2, 1, 1), (3, 0, 1), (3, 1, 0)] {
            let (kills, pauses, restarts) = too_little;
            assert!(
                report(Kind::Postgres, kills, pauses, restarts).falls_short().is_some(),
                "{too_little:?}"
            );
        }
    }
}
