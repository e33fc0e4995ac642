//! The command line: which store, and what to do.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use factum::{EventStore, Timers};
use indicatif::{ProgressBar, ProgressStyle};
use lettre::message::Mailbox;
use order_service::domain::OrderId;
use order_service::history::history;
use order_service::import::{ImportError, Options, Progress, import};
use order_service::mails::Post;
use order_service::read::{ReadModel, SpendInUse};
use order_service::report::Report;
use order_service::serve::{self, serve};
use order_service::shop::Shop;
use order_service::text::{chain, grouped};
use tokio::net::TcpListener;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

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
    /// Answers HTTP requests, has orders delivered and writes mails, until it is told to stop. Any number of processes may do
    /// so on one store.
    Serve(Serving),
}

/// The shop as a service.
#[derive(Args)]
struct Serving {
    /// Where it listens; port 0 is any that is free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How long a customer may take to pay, such as `15m` or `2days`.
    #[arg(long, default_value = "15m", value_parser = humantime::parse_duration)]
    payment_within: Duration,
    /// The folder that mails to customers are written to.
    #[arg(long, default_value = "mails")]
    mails: PathBuf,
    /// The mail server that takes them instead, such as `smtp://localhost:25`.
    #[arg(long, conflicts_with = "mails")]
    smtp: Option<String>,
    /// Who the mails are from.
    #[arg(long, default_value = "The shop <shop@example.com>")]
    sender: Mailbox,
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
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    // A service begins at once, and builds meanwhile.
    if matches!(command, Command::Import { .. } | Command::Report) {
        build(shop).await?;
    }
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
            let mut out = io::stdout().lock();
            let mut written = Ok(());
            history(&shop.orders, &OrderId(order), |text| {
                if written.is_ok() {
                    written = out.write_all(text.as_bytes());
                }
            })
            .await?;
            written?;
        }
        Command::Serve(serving) => serve_until_stopped(shop, serving).await?,
    }
    Ok(())
}

/// Builds what this program keeps otherwise than the one before it, which takes some time once.
async fn build<S, R>(shop: &Shop<S, R>) -> anyhow::Result<()>
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let (rebuild, in_use) = (shop.rebuild(), SpendInUse(shop.read.clone()));
    let bar = progress_bar(0);
    let mut building = pin!(rebuild.run(&in_use));
    loop {
        tokio::select! {
            built = &mut building => {
                bar.finish_and_clear();
                return built.map(drop).context("the spend of customers could not be built");
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                // A store that cannot be asked is waited for by the rebuild.
                if let Ok(health) = rebuild.health().await {
                    bar.set_length(health.head.0);
                    bar.set_position(health.position.0);
                    bar.set_message(format!("building the spend of customers, {:.0} events/s", health.rate));
                }
            }
        }
    }
}

async fn serve_until_stopped<S, R>(shop: &Shop<S, R>, serving: Serving) -> anyhow::Result<()>
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let Serving { listen, payment_within, mails, smtp, sender } = serving;
    start_logging()?;
    let post = match smtp {
        Some(url) => Post::server(&url)?,
        None => Post::folder(&mails).with_context(|| format!("folder {}", mails.display()))?,
    };
    let stop = stop_signal()?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("address {listen}"))?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let options = serve::Options { pay_within: payment_within, post, sender };
    serve(shop.clone(), listener, options, stop).await.context("connections cannot be accepted")
}

/// Logs to standard error what `RUST_LOG` asks for, such as `warn,factum_core=debug`.
fn start_logging() -> anyhow::Result<()> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into());
    let wanted: Targets = wanted.parse().context("RUST_LOG")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(wanted).try_init()?;
    Ok(())
}

/// Ready when the program is told to stop: by Ctrl-C, or by SIGTERM, as service managers do.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready when the program is told to stop: by Ctrl-C.
#[cfg(not(unix))]
fn stop_signal() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be waited for");
            std::future::pending::<()>().await;
        }
    })
}

async fn print_report<S, R: ReadModel>(shop: &Shop<S, R>) -> anyhow::Result<()> {
    print!("{}", Report::of(&shop.read).await?);
    Ok(())
}

async fn import_file<S, R>(shop: &Shop<S, R>, path: PathBuf, options: Options) -> anyhow::Result<()>
where
    S: EventStore + Timers<Tx = R::Tx> + Clone,
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

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed} ({eta} left)");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
