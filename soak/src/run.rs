//! A run: begin, break, heal, wait until everybody is at rest, and write down what the store holds then.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use factum_conformance::history::Logged;
use factum_core::store::{Append, ReadAll};
use factum_core::transfer::{Place, Record, Transfer, export, import};
use factum_core::{EventId, Expected, Position, RecordedEvent, StreamId};
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use tokio::fs::File;
use tokio::io::{BufReader, BufWriter};
use tokio::runtime::Runtime;

use crate::check::{self, Broken, Held};
use crate::clock::Clock;
use crate::content;
use crate::crew::Crew;
use crate::dice::Dice;
use crate::fault::{Fault, Hands, Look, Postgres};
use crate::kills::{Kills, Pace};
use crate::life::REST_MAX;
use crate::lookout::Lookout;
use crate::note::{Note, Notebook, Seen};
use crate::roles::{self, Progress, Role};
use crate::target::{Kind, Target};

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// How long things are broken.
    pub(crate) time: Duration,
    /// How often each kind of process is killed, at least: if need be it takes longer.
    pub(crate) kills: usize,
    pub(crate) seed: u64,
    /// How many processes of many clients there are.
    pub(crate) processes: usize,
    /// How many clients each has.
    pub(crate) clients: usize,
    /// How many operations all of them do in a second.
    pub(crate) rate: u64,
    /// Where the files are.
    pub(crate) folder: PathBuf,
}

/// How many records are read at a time.
const RECORDS_MAX: usize = 5_000;

/// The category of the last event of a run, which nobody but the run appends to.
pub(crate) const END: &str = "end";

/// Does it, and judges it.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Result<Held, Broken>> {
    let runtime = Runtime::new()?;
    match plan.kind {
        Kind::Postgres => {
            let postgres = Postgres::start(runtime.handle())?;
            let (direct, through) = (postgres.server.url().to_owned(), postgres.proxy.url().to_owned());
            let verdict = run_on::<PostgresStore>(plan, &runtime, Some(&postgres), &direct, through);
            if !matches!(verdict, Ok(Ok(_))) {
                // It is deleted with the server.
                let log = postgres.server.folder().join("data/server.log");
                let _ = fs::copy(log, plan.folder.join("server.log"));
            }
            verdict
        }
        Kind::Sqlite => {
            let path = plan.folder.join("events.db").display().to_string();
            run_on::<SqliteStore>(plan, &runtime, None, &path, path.clone())
        }
    }
}

/// The run has its own way to the store, which is never broken but with the store.
fn run_on<T: Target>(
    plan: &Plan,
    runtime: &Runtime,
    postgres: Option<&Postgres>,
    direct: &str,
    through: String,
) -> anyhow::Result<Result<Held, Broken>> {
    let store = runtime.block_on(async {
        let store = T::open(direct, &mut Dice::new(plan.seed, &[])).await?;
        store.prepare().await?;
        anyhow::Ok(store)
    })?;
    let crew = Mutex::new(roles::begin(plan, through)?);
    let lookout = Mutex::new(Lookout::new(&plan.folder));
    let look = || {
        let mut lookout = lookout.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.block_on(lookout.look(&store))
    };
    let broken = break_things(plan, runtime, postgres, &crew, &look)?;
    let mut crew = crew.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(said) = broken {
        // What the store holds is gone with the run.
        let kept = runtime.block_on(write_export(&store, &plan.folder.join(check::EXPORTS[0])));
        let kept = kept.map_or_else(|error| format!("nothing: {error:#}"), |()| check::EXPORTS[0].to_owned());
        return Ok(Err(Broken::new(format!("{said}; what the store held then is in {kept}"))));
    }
    if let Some(postgres) = postgres {
        postgres.heal()?;
    }
    println!("{}: healed, coming to rest", plan.kind.name());
    // Twice the time, since what they do last has a time of its own.
    if let Some(said) = crew.stop(|role| matches!(role, Role::Worker(_)), REST_MAX * 2)? {
        return Ok(Err(Broken::new(said)));
    }
    let (end, log) = runtime.block_on(log_of(&store))?;
    let mut notes = Notebook::create(&plan.folder.join(check::LOG))?;
    notes.write(log.iter().map(|event| Note::Saw(Seen::from(event))))?;
    runtime.block_on(write_records(&store, &plan.folder.join(check::RECORDS)))?;
    let deadline = Instant::now() + REST_MAX;
    while crew.progress().slowest.0 < end.0 {
        let said = match crew.look()? {
            None if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            None => {
                let (at, who) = crew.progress().slowest;
                format!("subscriber {} stands still at {at} and does not reach {end}", who.name())
            }
            Some(said) => said,
        };
        return Ok(Err(Broken::new(said)));
    }
    if let Some(said) = crew.stop(|_| true, REST_MAX)? {
        return Ok(Err(Broken::new(said)));
    }
    let (rows, totals) = runtime.block_on(store.projection())?;
    let rows = rows.into_iter().map(Note::Row).chain(totals.into_iter().map(Note::Total));
    Notebook::create(&plan.folder.join(check::PROJECTION))?.write(rows)?;
    let marks = runtime.block_on(store.marks())?;
    Notebook::create(&plan.folder.join(check::MARKS))?.write(marks.into_iter().map(Note::Mark))?;
    runtime.block_on(async {
        let [of_store, of_copy] = check::EXPORTS.map(|name| plan.folder.join(name));
        write_export(&store, &of_store).await?;
        write_copy(&plan.folder.join("copy.db"), &of_store, &of_copy).await?;
        store.close().await;
        anyhow::Ok(())
    })?;
    Ok(check::check(&plan.folder, plan.kind))
}

/// Breaks what there is until the time is over, or somebody has ended who should not.
fn break_things(
    plan: &Plan,
    runtime: &Runtime,
    postgres: Option<&Postgres>,
    crew: &Mutex<Crew<Role>>,
    look: Look<'_>,
) -> anyhow::Result<Option<String>> {
    let (begun, pace) = (Instant::now(), Pace::new(plan.kills, plan.time));
    let hands = Hands {
        crew,
        postgres,
        runtime: runtime.handle(),
        notes: Mutex::new(Notebook::create(&plan.folder.join(check::FAULTS))?),
        clock: Clock::of_machine()?,
        count: AtomicUsize::new(0),
        kills: Mutex::default(),
        pace,
        begun,
        look,
        is_over: AtomicBool::new(false),
        // Each kind comes at least twice, as far as what it does takes no longer than that.
        rest: (pace.time() / 16).clamp(Duration::from_millis(100), Duration::from_millis(1500)),
    };
    hands.note(Note::ToKill(plan.kills))?;
    thread::scope(|scope| {
        let users =
            scope.spawn(|| hands.break_in_turn(Fault::of_users(plan.kind), Dice::new(plan.seed, &[3])));
        let server = postgres
            .map(|_| scope.spawn(|| hands.break_in_turn(&Fault::OF_SERVER, Dice::new(plan.seed, &[4]))));
        let mut broken = None;
        let mut told = Instant::now();
        let is_enough = || begun.elapsed() >= plan.time && hands.kills().reach(plan.kills, plan.kind);
        while broken.is_none() && !is_enough() {
            thread::sleep(Duration::from_millis(50));
            if users.is_finished() || server.as_ref().is_some_and(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            let mut crew = crew.lock().unwrap_or_else(PoisonError::into_inner);
            broken = crew.look()?;
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                let faults = hands.count.load(Ordering::Relaxed);
                tell(plan, begun.elapsed(), crew.progress(), faults, hands.kills());
            }
        }
        hands.is_over.store(true, Ordering::SeqCst);
        for hand in [Some(users), server].into_iter().flatten() {
            let lost = hand.join().expect("hands do not panic")?;
            broken = broken.or(lost);
        }
        Ok(broken)
    })
}

fn tell(plan: &Plan, time: Duration, progress: Progress, faults: usize, kills: Kills) {
    let Progress { acknowledged, unknown, conflicts, slowest: (at, who) } = progress;
    println!(
        "{} {:4} s: {acknowledged} acknowledged, {unknown} unknown, {conflicts} conflicts; {faults} faults, \
         kills: {kills}; the slowest subscriber, {}, is at {at}",
        plan.kind.name(),
        time.as_secs(),
        who.name(),
    );
}

/// Writes down all that a store holds.
async fn write_export(store: &impl Transfer, path: &Path) -> anyhow::Result<()> {
    export(store, BufWriter::new(File::create_new(path).await?)).await?;
    Ok(())
}

/// Makes a store of an export, and writes down what that holds.
async fn write_copy(database: &Path, of_store: &Path, of_copy: &Path) -> anyhow::Result<()> {
    let copy = SqliteStore::connect(database).await?;
    copy.migrate().await?;
    import(&copy, BufReader::new(File::open(of_store).await?)).await?;
    write_export(&copy, of_copy).await?;
    copy.close().await;
    Ok(())
}

/// Writes down what a store holds of each event, also of one that is set apart or erased.
async fn write_records(store: &impl Transfer, path: &Path) -> anyhow::Result<()> {
    let mut notes = Notebook::create(path)?;
    let mut after = Position::START;
    loop {
        let page = store.read_records(after, RECORDS_MAX, usize::MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.position();
        notes.write(page.into_iter().map(|record| match record {
            Record::Live(event) => Note::Saw(Seen::from(&event)),
            Record::Archived(event) => Note::Archived(Seen::from(&event)),
            Record::Erased(Place { id, stream, version, position, .. }) => {
                Note::Erased(Logged { id, stream, version, position })
            }
        }))?;
    }
}

/// The position of an event after everything, and everything.
async fn log_of<T: Target>(store: &T) -> anyhow::Result<(Position, Vec<RecordedEvent>)> {
    let marker = StreamId::new(END, "1")?;
    let append = Append::to(marker, Expected::NoStream, vec![content::event(EventId::new())]);
    let end = store.append(append).await?.position;
    let (mut read, mut log) = (ReadAll::after(Position::START), Vec::new());
    let deadline = Instant::now() + REST_MAX;
    while read.after.position < end {
        let page = store.read_all(read.clone()).await?;
        anyhow::ensure!(Instant::now() < deadline, "the feed stands still at {}", read.after.position);
        read.after = page.checkpoint;
        log.extend(page.events);
        if page.end && read.after.position < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok((end, log))
}
