//! Breaks a real store for as long as asked, and says whether every law held.
//!
//! ```sh
//! cargo run --release -p factum-soak -- --minutes 3
//! cargo run --release -p factum-soak -- --minutes 60 --store postgres --seed 7
//! cargo run --release -p factum-soak -- check FOLDER --store postgres     # judges once more
//! cargo run --release -p factum-soak -- nodes --kills 200                 # kills nodes that share a projection
//! cargo run --release -p factum-soak -- orders --orders 10000             # kills nodes that fulfil orders
//! ```
//!
//! Some processes of many clients use a store, and some follow it, each with a file of what it was told, while the store,
//! the network and the processes are broken in turn. In the end everything is healed, and the files are compared with
//! what the store holds: the histories by [`factum_conformance::history`], and what was followed by `check`.
//!
//! A seed decides what is done and which faults come in which order. When they meet is the machine's affair, so a seed
//! makes a violation likely again and not certain; the files have all that is needed to understand it.

mod change;
mod check;
mod clock;
mod content;
mod crew;
mod dice;
mod fault;
mod flaky;
mod follower;
mod kills;
mod life;
mod lookout;
mod nodes;
mod note;
mod orders;
mod outcome;
mod roles;
mod run;
mod signal;
mod storm;
mod subscriber;
mod target;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;

use crate::check::{Broken, Held};
use crate::follower::Follower;
use crate::life::Life;
use crate::outcome::Outcome;
use crate::run::Plan;
use crate::target::Kind;
use crate::worker::Work;

/// Breaks a real store for as long as asked, and says whether every law held.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// How long each store is broken.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// How often at least the server is killed, and how often its clients: a run that is over before goes on until then.
    #[arg(long, default_value_t = 0)]
    kills: usize,
    /// Which store; both one after the other.
    #[arg(long, value_enum, default_value_t = Stores::Both)]
    store: Stores,
    /// What chance begins with; chosen by the clock unless told.
    #[arg(long)]
    seed: Option<u64>,
    /// How many processes of many clients there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    processes: u8,
    /// How many clients each has.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..))]
    clients: u8,
    /// How many operations all clients together do in a second, if the store can.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Where the files are kept; otherwise they are kept only if a law was broken.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What is asked for of a run of nodes.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// How often nodes are killed that are at work.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How many nodes there are.
    #[arg(long = "nodes", default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..))]
    many: u64,
    /// How many events are appended in a second, if the store can.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// The rows are written in transactions of their own: then the run must find something.
    #[arg(long, hide = true)]
    at_least_once: bool,
    #[command(flatten)]
    whence: Whence,
}

/// What is asked for of a run of orders.
#[derive(Debug, clap::Args)]
struct Orders {
    /// How many orders are placed.
    #[arg(long = "orders", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    many: u64,
    /// How many in a second, if the store can.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How often nodes are killed that are at work.
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// How many nodes there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..))]
    nodes: u64,
    #[command(flatten)]
    whence: Whence,
}

/// On which stores, by which chance, and where the files go.
#[derive(Debug, clap::Args)]
struct Whence {
    /// Which store; both one after the other.
    #[arg(long, value_enum, default_value_t = Stores::Both)]
    store: Stores,
    /// What chance begins with; chosen by the clock unless told.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the files are kept; otherwise they are kept only if something was wrong.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stores {
    Postgres,
    Sqlite,
    Both,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Judges once more a run whose files were kept.
    Check {
        /// Where they are: the folder of one store.
        folder: PathBuf,
        /// Which store it was.
        #[arg(long, value_enum)]
        store: Kind,
    },
    /// Kills nodes that share a projection, and says whether each event was counted once and in its order.
    Nodes(Nodes),
    /// A node, which a run of nodes begins.
    #[command(hide = true)]
    Node {
        #[arg(long, value_enum)]
        store: Kind,
        #[arg(long)]
        number: u64,
        #[arg(long)]
        at_least_once: bool,
        #[command(flatten)]
        life: Life,
    },
    /// Somebody who appends what nodes count, which a run of nodes begins.
    #[command(hide = true)]
    Appender {
        #[arg(long, value_enum)]
        store: Kind,
        #[arg(long)]
        rate: u64,
        #[command(flatten)]
        life: Life,
    },
    /// Kills nodes that fulfil orders, and says whether each step was taken once.
    Orders(Orders),
    /// A node, which a run of orders begins.
    #[command(hide = true)]
    Fulfiller {
        #[arg(long, value_enum)]
        store: Kind,
        #[arg(long)]
        number: u64,
        #[command(flatten)]
        life: Life,
    },
    /// Customers, which a run of orders begins.
    #[command(hide = true)]
    Customers {
        #[arg(long, value_enum)]
        store: Kind,
        #[command(flatten)]
        demand: orders::Demand,
        #[command(flatten)]
        life: Life,
    },
    /// A process of many clients, which the run begins.
    #[command(hide = true)]
    Worker {
        #[arg(long, value_enum)]
        store: Kind,
        #[command(flatten)]
        work: Work,
        #[command(flatten)]
        life: Life,
    },
    /// A process that follows the log, which the run begins.
    #[command(hide = true)]
    Subscriber {
        #[arg(long, value_enum)]
        store: Kind,
        #[arg(long, value_enum)]
        follower: Follower,
        #[command(flatten)]
        life: Life,
    },
}

fn main() -> ExitCode {
    match do_as_asked() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:?}");
            // Nothing is said about the store.
            ExitCode::from(2)
        }
    }
}

fn do_as_asked() -> anyhow::Result<ExitCode> {
    let Arguments { other, asked } = Arguments::parse();
    match other {
        None => soak(&asked),
        Some(Other::Check { folder, store }) => Ok(judge(store, None, &folder, check::check(&folder, store))),
        Some(Other::Nodes(Nodes { kills, many: nodes, rate, at_least_once, whence })) => {
            whence.each(|kind, seed, folder| {
                println!("{}: {kills} kills of {nodes} nodes, seed {seed}", kind.name());
                let care = nodes::Care::of(at_least_once);
                nodes::run(&nodes::Plan { kind, kills, nodes, rate, seed, folder, care })
            })
        }
        Some(Other::Node { store, number, at_least_once, life }) => {
            let (address, care) = (address()?, nodes::Care::of(at_least_once));
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => nodes::count::<PostgresStore>(&address, number, care, life).await,
                    Kind::Sqlite => nodes::count::<SqliteStore>(&address, number, care, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Appender { store, rate, life }) => {
            let address = address()?;
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => nodes::append::<PostgresStore>(&address, rate, life).await,
                    Kind::Sqlite => nodes::append::<SqliteStore>(&address, rate, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Orders(Orders { many: orders, rate, kills, nodes, whence })) => {
            whence.each(|kind, seed, folder| {
                println!("{}: {orders} orders, {kills} kills of {nodes} nodes, seed {seed}", kind.name());
                let demand = orders::Demand { orders, rate };
                orders::run(&orders::Plan { kind, demand, kills, nodes, seed, folder })
            })
        }
        Some(Other::Fulfiller { store, number, life }) => {
            let address = address()?;
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => orders::fulfil::<PostgresStore>(&address, number, life).await,
                    Kind::Sqlite => orders::fulfil::<SqliteStore>(&address, number, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Customers { store, demand, life }) => {
            let address = address()?;
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => orders::buy::<PostgresStore>(&address, demand, life).await,
                    Kind::Sqlite => orders::buy::<SqliteStore>(&address, demand, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Worker { store, work, life }) => {
            let address = address()?;
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => worker::work::<PostgresStore>(&address, work, life).await,
                    Kind::Sqlite => worker::work::<SqliteStore>(&address, work, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Subscriber { store, follower, life }) => {
            let address = address()?;
            tokio::runtime::Runtime::new()?.block_on(async {
                match store {
                    Kind::Postgres => subscriber::follow::<PostgresStore>(&address, follower, life).await,
                    Kind::Sqlite => subscriber::follow::<SqliteStore>(&address, follower, life).await,
                }
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Stores {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Postgres => &[Kind::Postgres],
            Self::Sqlite => &[Kind::Sqlite],
            Self::Both => &[Kind::Postgres, Kind::Sqlite],
        }
    }
}

impl Whence {
    /// Runs on each store that is asked for, until something is wrong or not proven.
    fn each(&self, run: impl Fn(Kind, u64, PathBuf) -> anyhow::Result<Outcome>) -> anyhow::Result<ExitCode> {
        let seed = seed_or_clock(self.seed)?;
        for &kind in self.store.kinds() {
            let temporary = tempfile::Builder::new().prefix("factum-soak-").tempdir()?;
            let folder = self.folder.as_deref().unwrap_or(temporary.path()).join(kind.name());
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let outcome = run(kind, seed, folder.clone());
            let files = format!("{}, seed {seed}, files in {}", kind.name(), folder.display());
            if !matches!(outcome, Ok(Outcome::Held(_))) {
                // For whoever wants to understand it.
                let _ = temporary.keep();
                return Ok(outcome.context(files.clone())?.tell(&files));
            }
            outcome?.tell(&format!("{}, seed {seed}", kind.name()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn seed_or_clock(seed: Option<u64>) -> anyhow::Result<u64> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    Ok(seed.map_or_else(clock, Ok)?)
}

/// Breaks each store that is asked for, until one breaks a law.
fn soak(asked: &Asked) -> anyhow::Result<ExitCode> {
    let seed = seed_or_clock(asked.seed)?;
    let kinds = asked.store.kinds();
    let time = Duration::try_from_secs_f64(asked.minutes * 60.0).context("minutes are a time")?;
    let mut temporary = None;
    let folder = match &asked.folder {
        Some(folder) => folder.clone(),
        None => {
            temporary.insert(tempfile::Builder::new().prefix("factum-soak-").tempdir()?).path().to_owned()
        }
    };
    for &kind in kinds {
        let folder = folder.join(kind.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (processes, clients, kills) = (asked.processes.into(), asked.clients.into(), asked.kills);
        println!(
            "{}: {time:?} and {kills} kills of each kind, seed {seed}, files in {}",
            kind.name(),
            folder.display()
        );
        let plan = Plan { kind, time, kills, seed, processes, clients, rate: asked.rate, folder };
        let verdict = run::run(&plan);
        if !matches!(verdict, Ok(Ok(_)))
            && let Some(temporary) = temporary.take()
        {
            // For whoever wants to understand it.
            let _ = temporary.keep();
        }
        let verdict = verdict.with_context(|| format!("seed {seed}, files in {}", plan.folder.display()))?;
        if let Err(broken) = &verdict {
            fs::write(plan.folder.join("verdict.txt"), broken.in_full())?;
        }
        let has_held = verdict.as_ref().is_ok_and(|held| held.falls_short().is_none());
        let code = judge(kind, Some(seed), &plan.folder, verdict);
        if !has_held {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what came of it.
fn judge(kind: Kind, seed: Option<u64>, folder: &Path, verdict: Result<Held, Broken>) -> ExitCode {
    let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    match verdict {
        Ok(held) => match held.falls_short() {
            None => {
                println!("held: {}{seed}\n{held}", kind.name());
                ExitCode::SUCCESS
            }
            Some(said) => {
                println!("too little: {}{seed}, {said}\n{held}", kind.name());
                ExitCode::from(2)
            }
        },
        Err(broken) => {
            println!("broken: {}{seed}, files in {}\n{broken}", kind.name(), folder.display());
            ExitCode::FAILURE
        }
    }
}

fn address() -> anyhow::Result<String> {
    std::env::var(life::ADDRESS).with_context(|| format!("{} is not set", life::ADDRESS))
}
