//! What the program is asked to do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// factum beside raw SQL and its peers, in one run.
#[derive(Parser, Debug)]
#[command(about)]
pub(crate) struct Options {
    /// The workloads to run, of all.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Workload>,
    /// The contenders to run, of all, by their names.
    #[arg(long, value_delimiter = ',')]
    pub(crate) contenders: Vec<String>,
    /// How many turns each contender has at each workload.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// How long a turn lasts, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    pub(crate) turn_ms: u64,
    /// How many events the log has that is caught up on; accounts have ten of them each.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) events: u32,
    /// The folder of the report and its plots.
    #[arg(long, default_value = "report")]
    pub(crate) out: PathBuf,
    /// Does everything once, tiny, as a test of the program.
    #[arg(long)]
    pub(crate) smoke: bool,
}

impl Options {
    /// With all that a smoke test makes smaller.
    pub(crate) fn settled(self) -> Self {
        if self.smoke { Self { rounds: 1, turn_ms: 100, events: 500, ..self } } else { self }
    }

    /// How long a turn lasts.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_millis(self.turn_ms)
    }

    /// Whether this workload is to be run.
    pub(crate) fn asks_for(&self, workload: Workload) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    /// Whether this contender takes part.
    pub(crate) fn asks_for_contender(&self, name: &str) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|asked| asked == name)
    }
}

/// What is compared.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Workload {
    /// Create an account: one command, one event.
    W1,
    /// Load an account of ten events, decide, append one.
    W2,
    /// Rehydrate an account of many events.
    W3,
    /// Catch up on the log.
    W4,
    /// From the acknowledgement to the handler.
    W5,
    /// What a follower never sees.
    W6,
}

impl Workload {
    /// Those that need a log that is there before.
    pub(crate) const BESIDE_A_LOG: [Self; 4] = [Self::W1, Self::W2, Self::W3, Self::W4];
    /// Those in which somebody follows.
    pub(crate) const FOLLOWED: [Self; 2] = [Self::W5, Self::W6];
}
