//! factum beside raw SQL and its peers, in one run: who does what, how fast, and who loses events.
//!
//! All contenders work on one server with full durability, each in databases of its own, and take turns in rounds, so that
//! whatever else the machine does meets all of them. `README.md` says what is measured and how.

mod contender;
mod options;
mod peers;
mod plot;
mod report;
mod roster;
mod rounds;
mod server;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use crate::contender::Answer;
use crate::options::{Options, Workload};
use crate::report::Report;
use crate::server::Server;

/// The contender whose events are never lost, or the program fails.
const FACTUM: &str = "factum";

/// The contender with which the others are compared.
const MEASURE: &str = "raw-sqlx";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a machine can run threads");
    #[cfg(feature = "umadb")]
    if let Some(served) = runtime.block_on(peers::umadb::serve()) {
        return exit_code(served);
    }
    exit_code(runtime.block_on(run(&Options::parse().settled())))
}

fn exit_code(done: Answer<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Answer<()> {
    let server = Server::start().await?;
    let mut report = Report::begin(options, &server).await?;
    if Workload::BESIDE_A_LOG.iter().any(|workload| options.asks_for(*workload)) {
        let contenders = roster::open_all(options, &server, &mut report).await?;
        workloads::on_a_log(options, &contenders, &mut report).await?;
    }
    if Workload::FOLLOWED.iter().any(|workload| options.asks_for(*workload)) {
        // Empty databases: a follower would have to read the log of the others first, again and again.
        let contenders = roster::open_all(options, &server, &mut report).await?;
        workloads::followed(options, &contenders, &mut report).await?;
    }
    report.write(&options.out)?;
    report.verdict()
}
