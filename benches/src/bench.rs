//! What a bench is told: by the command line what to compare and for how long, by the environment on which stores.

use std::future::Future;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::{Latencies, Turns};

/// The words are those of criterion, by which the import is measured.
#[derive(Parser, Clone, Debug)]
pub(crate) struct Options {
    /// Only comparisons with this in their title.
    filter: Option<String>,
    /// Only contenders with this in their name: to look at one with a profiler.
    #[arg(long)]
    only: Option<String>,
    /// How long each contender runs before it is measured, in seconds.
    #[arg(long, default_value_t = 1.0)]
    warm_up_time: f64,
    /// How long each contender is measured, in seconds, over all its turns.
    #[arg(long, default_value_t = 5.0)]
    measurement_time: f64,
    /// How many turns each contender has.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sample_size: u32,
    /// Said by `cargo bench`. Without it everything is done once, to see that it works.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Options {
    pub(crate) fn asks_for(&self, title: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| title.contains(filter.as_str()))
    }

    pub(crate) fn asks_for_contender(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_time)
    }

    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs_f64(self.measurement_time) / self.sample_size
    }
}

/// A bench that has begun.
#[derive(Debug)]
pub struct Bench {
    options: Options,
    runtime: Runtime,
}

impl Bench {
    /// As the command line says.
    pub fn begin() -> Self {
        Self { options: Options::parse(), runtime: Runtime::new().expect("a runtime") }
    }

    /// Whether `FACTUM_BENCH_STORES` names this store. Unless it is set, all are meant.
    pub fn is_about(&self, store: &str) -> bool {
        std::env::var("FACTUM_BENCH_STORES")
            .map_or(true, |chosen| chosen.split(',').any(|chosen| chosen.trim() == store))
    }

    /// What comes of `work`, which is not measured.
    pub fn given<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A comparison about to be made.
    pub fn compare(&self, title: impl Into<String>) -> Turns<'_> {
        Turns::new(title.into(), &self.options, &self.runtime)
    }

    /// A comparison about to be made of how long something takes each time.
    pub fn compare_latencies(&self, title: impl Into<String>) -> Latencies<'_> {
        Latencies::new(title.into(), &self.options, &self.runtime)
    }
}
