//! What came of it, as text to read: `report.md`, with the machine, the versions and a table for each comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::contender::Answer;
use crate::options::{Options, Workload};
use crate::rounds::{Row, Spread};
use crate::server::Server;
use crate::{FACTUM, MEASURE, plot, roster};

/// All that is told at the end.
#[derive(Debug)]
pub(crate) struct Report {
    asked: String,
    machine: Vec<(String, String)>,
    load_at_begin: String,
    comparisons: Vec<Comparison>,
    losses: Vec<Losses>,
    left_out: BTreeMap<&'static str, String>,
}

/// One table.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Of which it is a part.
    pub(crate) workload: Workload,
    /// What was done.
    pub(crate) title: String,
    /// How many callers, or events, where there are several such tables.
    pub(crate) at: Option<u32>,
    /// Of the values.
    pub(crate) unit: Unit,
    /// By contender.
    pub(crate) rows: Vec<Row>,
}

/// What a value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Commands in a second.
    PerSecond,
    /// Events in a second.
    EventsPerSecond,
    /// The middle of what each took.
    Milliseconds,
}

/// What a follower never saw.
#[derive(Debug)]
pub(crate) struct Losses {
    /// Of the contender.
    pub(crate) name: &'static str,
    /// Whether transactions paused before their commit.
    pub(crate) pause: bool,
    /// How many events were acknowledged.
    pub(crate) committed: usize,
    /// How many of them were never seen.
    pub(crate) lost: usize,
    /// How many appends were refused.
    pub(crate) refused: u64,
    /// What has to be said.
    pub(crate) remark: Option<String>,
}

impl Report {
    /// Looks at the machine as it is before.
    pub(crate) async fn begin(options: &Options, server: &Server) -> Answer<Self> {
        let mut machine = machine();
        machine
            .extend(server.described().await?.into_iter().map(|(name, value)| (format!("`{name}`"), value)));
        let asked = format!(
            "{} rounds, turns of {} ms, a log of {} events",
            options.rounds, options.turn_ms, options.events
        );
        let (comparisons, losses, left_out) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { asked, machine, load_at_begin: load(), comparisons, losses, left_out })
    }

    /// This contender could not take part.
    pub(crate) fn left_out(&mut self, name: &'static str, why: &str) {
        eprintln!("{name} is left out: {why}");
        self.left_out.insert(name, why.to_owned());
    }

    /// One more table, which is also printed now.
    pub(crate) fn add(&mut self, comparison: Comparison) {
        println!("{}", comparison.table().expect("a string takes any text"));
        self.comparisons.push(comparison);
    }

    /// One more line of what was lost.
    pub(crate) fn add_losses(&mut self, losses: Losses) {
        println!("{}", losses.line());
        self.losses.push(losses);
    }

    /// Writes the report and its plots.
    pub(crate) fn write(&self, folder: &Path) -> Answer<()> {
        fs::create_dir_all(folder)?;
        let plots = plot::all(&self.comparisons, folder)?;
        let path = folder.join("report.md");
        fs::write(&path, self.text(&plots)?)?;
        println!("{}", path.display());
        Ok(())
    }

    /// Whether factum lost nothing.
    pub(crate) fn verdict(&self) -> Answer<()> {
        for losses in self.losses.iter().filter(|losses| losses.name == FACTUM) {
            if losses.lost > 0 || losses.committed == 0 || losses.remark.is_some() {
                return Err(format!("factum has to see every event: {losses:?}").into());
            }
        }
        Ok(())
    }

    fn text(&self, plots: &[String]) -> Result<String, std::fmt::Error> {
        let mut text = String::from("# factum beside raw SQL and its peers\n\n");
        writeln!(
            text,
            "Written by `cargo run --release --manifest-path benches/compare/Cargo.toml`; what is measured and how is said in \
             [its README](../README.md). {}. The load of the machine was {} at the beginning and {} at the end, so \
             {}.\n",
            self.asked,
            self.load_at_begin,
            load(),
            if busy(&self.load_at_begin) {
                "**other programs kept it busy meanwhile**: read the ratios, and differences below a third say nothing"
            } else {
                "it was this program's alone at the beginning"
            }
        )?;
        text.push_str(
            "Values are medians over the rounds, with the middle half in brackets. A ratio is that of two turns of the same round, \
             this contender's by that of `raw-sqlx`: for speeds more is better, for times less.\n\n",
        );
        text.push_str("| machine | |\n|---|---|\n");
        for (name, value) in &self.machine {
            writeln!(text, "| {name} | {value} |")?;
        }
        text.push_str("\n| contender | packages |\n|---|---|\n");
        for entry in roster::ALL {
            match self.left_out.get(entry.name) {
                Some(why) => writeln!(text, "| {} | left out: {} |", entry.name, one_line(why))?,
                None => writeln!(text, "| {} | {} |", entry.name, versions(entry.packages))?,
            }
        }
        for plot in plots {
            writeln!(text, "\n![{plot}]({plot})")?;
        }
        for comparison in &self.comparisons {
            write!(text, "\n{}", comparison.table()?)?;
        }
        if !self.losses.is_empty() {
            text.push_str("\n## W6: 16 writers while a subscriber follows: events it never saw\n\n");
            text.push_str("| contender | before the commit | acknowledged | never seen | refused | |\n");
            text.push_str("|---|---|---:|---:|---:|---|\n");
            for losses in &self.losses {
                writeln!(text, "{}", losses.line())?;
            }
        }
        Ok(text)
    }
}

impl Comparison {
    fn table(&self) -> Result<String, std::fmt::Error> {
        let value = match self.unit {
            Unit::PerSecond => "per second",
            Unit::EventsPerSecond => "events per second",
            Unit::Milliseconds => "p50 of a turn, ms",
        };
        let has_latencies = self.rows.iter().any(|row| !row.latencies_ms.is_empty());
        let mut table = format!("## {}\n\n| contender | {value} | ratio |", self.title);
        table.push_str(if has_latencies { " p50, ms | p99, ms | refused | |\n" } else { " |\n" });
        table.push_str(if has_latencies {
            "|---|---|---|---:|---:|---:|---|\n"
        } else {
            "|---|---|---|---|\n"
        });
        for row in &self.rows {
            let values = Spread::of(row.values.iter().copied().flatten());
            write!(table, "| {} | {} | {} |", row.name, spread(values), spread(self.ratio(row)))?;
            if has_latencies {
                let percentile = |hundredths| row.percentile_ms(hundredths).map(number).unwrap_or_default();
                write!(table, " {} | {} | {} |", percentile(50), percentile(99), row.refused)?;
            }
            let remarks: Vec<_> = row.remarks.iter().map(|remark| one_line(remark)).collect();
            writeln!(table, " {} |", remarks.join("; "))?;
        }
        Ok(table)
    }

    /// Of each turn by that of the measure in the same round.
    fn ratio(&self, row: &Row) -> Option<Spread> {
        let measure = self.rows.iter().find(|row| row.name == MEASURE)?;
        let pairs = row.values.iter().zip(&measure.values);
        Spread::of(pairs.filter_map(|(own, beside)| Some((*own)? / (*beside)?)))
    }
}

impl Losses {
    fn line(&self) -> String {
        let Self { name, committed, lost, refused, .. } = self;
        let pause = if self.pause { "0 to 30 ms of pause" } else { "no pause" };
        let remark = self.remark.as_deref().map(one_line).unwrap_or_default();
        let lost = if *lost > 0 { format!("**{lost}**") } else { "0".to_owned() };
        format!("| {name} | {pause} | {committed} | {lost} | {refused} | {remark} |")
    }
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "—".to_owned(),
        |Spread { lower, median, upper }| {
            format!("{} ({} to {})", number(median), number(lower), number(upper))
        },
    )
}

/// Three digits say all that a machine like this can say.
fn number(number: f64) -> String {
    match number {
        _ if number >= 1000.0 => {
            let whole = format!("{:.0}", (number / 10.0).round() * 10.0);
            let (head, tail) = whole.split_at(whole.len() - 3);
            match head.len() {
                0..=3 => format!("{head},{tail}"),
                digits => format!("{},{},{tail}", &head[..digits - 3], &head[digits - 3..]),
            }
        }
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn one_line(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
    if text.chars().count() <= 160 { text } else { text.chars().take(160).chain(['…']).collect() }
}

/// What the lock file of this program says of some packages.
fn versions(packages: &[&str]) -> String {
    const LOCK: &str = include_str!("../Cargo.lock");
    let version = |package: &str| {
        let versions = LOCK.split("[[package]]").filter_map(|part| {
            let name = part.lines().find_map(|line| line.strip_prefix("name = "))?.trim_matches('"');
            let version = part.lines().find_map(|line| line.strip_prefix("version = "))?.trim_matches('"');
            (name == package).then_some(version)
        });
        // Only sqlx is there twice, and the limit has the newer one.
        format!("{package} {}", versions.last().unwrap_or("?"))
    };
    packages.iter().copied().map(version).collect::<Vec<_>>().join(", ")
}

fn machine() -> Vec<(String, String)> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("?");
    [
        ("processor", format!("{cores} × {}", model.map_or("?", |(_, model)| model))),
        ("memory", format!("{} GiB", kib.unwrap_or_default() / (1 << 20))),
        ("system", system.trim_matches('"').to_owned()),
        ("compiler", said_by("rustc", &["--version"])),
        ("commit", said_by("git", &["describe", "--always", "--dirty"])),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    said.map_or_else(|_| "?".to_owned(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// Of the last minute.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("?").to_owned()
}

fn busy(load: &str) -> bool {
    load.parse().is_ok_and(|load: f64| load >= 0.5)
}
