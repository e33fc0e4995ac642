//! The command line: which store, and what to do.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use factum::{EventStore, Transactional};
use indicatif::{ProgressBar, ProgressStyle};
use order_service::domain::OrderId;
use order_service::history::history;
use order_service::import::{ImportError, Options, Progress, import};
use order_service::read::ReadModel;
use order_service::report::Report;
use order_service::shop::Shop;
use order_service::text::grouped;

/// An order service on factum.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the events are: a file (made if it is missing), `memory`, or `postgres://user@host/database`.
    #[arg(long, default_value = "orders.db", global = true)]
    store: StoreChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Imports a file of purchases. Doing it twice changes nothing.
    Import {
        /// The file: customer, day, number of CDs and dollars on each line.
        file: PathBuf,
        /// Goes on after a line that cannot be imported.
        #[arg(long)]
        skip_bad: bool,
        /// Prints the report afterwards.
        #[arg(long)]
        report: bool,
    },
    /// Prints what was sold: totals, the best customers, the revenue of each month.
    Report,
    /// Prints the events of an order, and the order after each.
    History {
        /// The order, such as `cdnow-2`.
        order: String,
    },
}

#[derive(Clone)]
enum StoreChoice {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
}

impl FromStr for StoreChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "memory" => Self::Memory,
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Self::Postgres(url.into())
            }
            file => Self::Sqlite(file.strip_prefix("sqlite:").unwrap_or(file).into()),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { store, command }: Arguments) -> anyhow::Result<()> {
    match store {
        StoreChoice::Memory => execute(&Shop::in_memory(), command).await,
        StoreChoice::Sqlite(file) => {
            let shop = Shop::in_file(&file).await.with_context(|| format!("store {}", file.display()))?;
            let outcome = execute(&shop, command).await;
            shop.store.close().await;
            outcome
        }
        StoreChoice::Postgres(url) => {
            let shop = Shop::in_database(&url).await.context("store Postgres")?;
            let outcome = execute(&shop, command).await;
            shop.store.close().await;
            outcome
        }
    }
}

async fn execute<S, R>(shop: &Shop<S, R>, command: Command) -> anyhow::Result<()>
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    match command {
        Command::Import { file, skip_bad, report } => {
            import_file(shop, file, Options { skip_bad }).await?;
            if report {
                println!();
                print_report(shop).await?;
            }
        }
        Command::Report => {
            // What an import that was killed has recorded and not yet added up is added up now.
            shop.catch_up().await?;
            print_report(shop).await?;
        }
        Command::History { order } => {
            let mut out = std::io::stdout().lock();
            let mut written = Ok(());
            history(&shop.orders, &OrderId(order), |text| {
                if written.is_ok() {
                    written = out.write_all(text.as_bytes());
                }
            })
            .await?;
            written?;
        }
    }
    Ok(())
}

async fn print_report<S, R: ReadModel>(shop: &Shop<S, R>) -> anyhow::Result<()> {
    print!("{}", Report::of(&shop.read).await?);
    Ok(())
}

async fn import_file<S, R>(shop: &Shop<S, R>, path: PathBuf, options: Options) -> anyhow::Result<()>
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let file = File::open(&path).with_context(|| format!("file {}", path.display()))?;
    let bar = progress_bar(file.metadata().map_or(0, |metadata| metadata.len()));
    let report = |progress: &Progress, skipped: Option<&ImportError>| {
        bar.set_position(progress.bytes);
        bar.set_message(format!("{} purchases", grouped(progress.purchases)));
        if let Some(error) = skipped {
            let text = format!("skipped {:#}", anyhow::Error::msg(chain(error)));
            bar.suspend(|| eprintln!("{text}"));
        }
    };
    let outcome = import(shop, BufReader::with_capacity(1 << 16, file), options, report).await;
    bar.finish_and_clear();
    let Progress { purchases, new, bad, elapsed, .. } = outcome?;
    let seconds = elapsed.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate is for reading")]
    let rate = purchases as f64 / seconds.max(1e-9);
    println!(
        "{} purchases in {seconds:.1} s ({rate:.0} a second), {} of them new, {} lines skipped",
        grouped(purchases),
        grouped(new),
        grouped(bad),
    );
    Ok(())
}

/// The error and its reasons, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed} ({eta} left)");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
