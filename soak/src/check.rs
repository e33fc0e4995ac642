//! The verdict on a run, from its files alone: so a run that was kept can be judged again.

mod copy;
mod follower;
mod kept;
mod left;
mod marks;
mod projection;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use factum_conformance::history::{
    History, Logged, Operation, Tally, Violation, check as check_history, check_in_order_of_positions,
};
use factum_core::retention::is_reserved;

use crate::change::KEPT;
use crate::fault::Fault;
use crate::follower::Follower;
use crate::kills::Kills;
use crate::note::{self, Note, Trouble};
use crate::run::END;
use crate::target::Kind;
use crate::worker::HISTORIES;

pub(crate) use self::follower::Followed;
use self::kept::{Asked, Kept};
use self::left::Left;

/// Where the log of the store is, as its feed was at the end.
pub(crate) const LOG: &str = "log.notes";
/// Where it is written down what the store holds of each event, in whatever state it is.
pub(crate) const RECORDS: &str = "records.notes";
/// Where the export of the store is, and that of its copy.
pub(crate) const EXPORTS: [&str; 2] = ["export.ndjson", "copy.ndjson"];
/// Where the projection is.
pub(crate) const PROJECTION: &str = "projection.notes";
/// Where the rows are that were committed with appends.
pub(crate) const MARKS: &str = "marks.notes";
/// Where it is noted what was done to the store and to its clients.
pub(crate) const FAULTS: &str = "faults.notes";

/// How many operations of a violation are shown.
const SHOWN_MAX: usize = 20;

/// What happened in a run in which every law held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) tally: Tally,
    pub(crate) events: usize,
    /// Transactions that were rolled back after an append.
    pub(crate) rolled_back: usize,
    /// Rows that were committed with an append.
    pub(crate) marks: usize,
    /// What came of the streams that were set apart and erased.
    pub(crate) kept: Kept,
    /// Lines of the export, which those of the copy are.
    pub(crate) copied: usize,
    /// Errors that say to try again, by their kind.
    pub(crate) errors: BTreeMap<String, usize>,
    pub(crate) faults: BTreeMap<String, usize>,
    pub(crate) kills: Kills,
    /// How often each kind was to be, at least.
    pub(crate) kills_asked: usize,
    /// How many events were looked for after kills, each time.
    pub(crate) looked: Vec<usize>,
    pub(crate) followed: Vec<(Follower, Followed)>,
    kind: Option<Kind>,
}

/// What broke, and who shows it.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) said: String,
    pub(crate) operations: Vec<Operation>,
}

impl Broken {
    /// All of it, where [`Display`](fmt::Display) cuts.
    pub(crate) fn in_full(&self) -> String {
        let operations = self.operations.iter().map(|operation| format!("\n{operation}"));
        format!("{}{}\n", self.said, operations.collect::<String>())
    }

    pub(crate) fn new(said: impl Into<String>) -> Self {
        Self { said: said.into(), operations: Vec::new() }
    }
}

impl From<Violation> for Broken {
    fn from(Violation { law, said, operations }: Violation) -> Self {
        Self { said: format!("{law}: {said}"), operations }
    }
}

/// A file that cannot be read proves nothing.
impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

/// Judges the run whose files are in a folder.
pub(crate) fn check(folder: &Path, kind: Kind) -> Result<Held, Broken> {
    let left = left(folder)?;
    let logged: Vec<Logged> = left.iter().map(|left| left.event().clone()).collect();
    let [history, of_keepers] = HISTORIES.map(|what| history(folder, what));
    let (history, of_keepers) = (history?, of_keepers?);
    let (kept, others): (Vec<&Left>, Vec<&Left>) =
        left.iter().partition(|left| left.event().stream.category() == KEPT);
    if let Some(changed) = others.iter().find(|left| !is_as_given(left)) {
        return Err(Broken::new(format!("nobody has touched its stream: {changed:?}")));
    }
    // The end is the run's, which has no history.
    let others = others.into_iter().map(Left::event).filter(|event| event.stream.category() != END);
    let of_clients: Vec<Logged> = others.cloned().collect();
    let tally = match kind {
        Kind::Postgres => check_history(&history, &of_clients)?.tally,
        // It has one writer at a time.
        Kind::Sqlite => check_in_order_of_positions(&history, &of_clients)?.tally,
    };
    let (mut errors, mut rolled_back, mut of_workers) = (BTreeMap::new(), 0, Vec::new());
    let mut changes = Vec::new();
    for (_, path) in files(folder, "worker-", "notes")? {
        let notes = note::read(&path)?;
        count_errors(&notes, &path, &mut errors)?;
        rolled_back += notes.iter().filter(|note| matches!(note, Note::Back { .. })).count();
        changes.extend(Asked::in_notes(&notes).map_err(Broken::new)?);
        of_workers.extend(notes);
    }
    let kept = kept::check(&kept, &of_keepers, &changes).map_err(Broken::new)?;
    let mut followed = Vec::new();
    for follower in Follower::ALL {
        let mut lives = Vec::new();
        for (_, path) in files(folder, &format!("subscriber-{}.", follower.name()), "notes")? {
            let notes = note::read(&path)?;
            count_errors(&notes, &path, &mut errors)?;
            lives.push(notes);
        }
        let wanted: Vec<_> = left.iter().filter_map(|left| left.wanted_by(follower)).collect();
        let end = logged.last().map(|event| event.position).unwrap_or_default();
        let said = |said| Broken::new(format!("subscriber {}: {said}", follower.name()));
        followed.push((follower, follower::check(&lives, &wanted, end).map_err(said)?));
    }
    projection::check(&note::read(&folder.join(PROJECTION))?, &left).map_err(Broken::new)?;

    let marks = marks::check(&note::read(&folder.join(MARKS))?, &of_workers, &logged).map_err(Broken::new)?;

    let copied = copy::check(folder, left.len())?;

    let mut held = Held {
        tally,
        events: left.len(),
        rolled_back,
        marks,
        kept,
        copied,
        errors,
        followed,
        kind: Some(kind),
        ..Held::default()
    };
    for note in note::read(&folder.join(FAULTS))? {
        held.count(note);
    }
    Ok(held)
}

/// What the store holds of each event: whole where it is there, and as the feed has it.
fn left(folder: &Path) -> Result<Vec<Left>, Broken> {
    let notes = note::read(&folder.join(RECORDS))?;
    let left: Vec<Left> =
        notes.into_iter().map(Left::try_from).collect::<Result<_, _>>().map_err(Broken::new)?;
    if let Some(seen) = left.iter().filter_map(Left::seen).find(|seen| !seen.is_whole) {
        return Err(Broken::new(format!("an event is as it was given: {} is not", seen.event.id)));
    }
    let mut ids = HashSet::new();
    if let Some(twice) = left.iter().find(|left| !ids.insert(left.event().id)) {
        return Err(Broken::new(format!("the store has an event twice: {twice:?}")));
    }
    if !left.is_sorted_by(|one, next| one.event().position < next.event().position) {
        return Err(Broken::new("positions grow, and those of the records do not"));
    }
    let mut feed = note::read(&folder.join(LOG))?.into_iter();
    for seen in left.iter().filter_map(Left::seen) {
        let next = feed.next();
        if !matches!(&next, Some(Note::Saw(next)) if next == seen) {
            return Err(Broken::new(format!("the feed has {next:?} where the store holds {seen:?}")));
        }
    }
    match feed.next() {
        Some(more) => Err(Broken::new(format!("the feed has {more:?}, which the store does not hold"))),
        None => Ok(left),
    }
}

/// Whether it is there, and an event of a client.
fn is_as_given(left: &Left) -> bool {
    matches!(left, Left::Live(seen) if !is_reserved(&seen.name))
}

/// What clients have written down in files whose names begin so.
fn history(folder: &Path, what: &str) -> anyhow::Result<History> {
    let mut all = History::default();
    for (_, path) in files(folder, what, "history")? {
        let history: History =
            fs::read_to_string(&path)?.parse().with_context(|| format!("in {}", path.display()))?;
        all = all.and(history);
    }
    Ok(all)
}

/// Adds the errors of a file, none of which may be strange.
fn count_errors(notes: &[Note], path: &Path, errors: &mut BTreeMap<String, usize>) -> Result<(), Broken> {
    for note in notes {
        let Note::Error(Trouble { is_transient, kind, doing, text, .. }) = note else { continue };
        if !is_transient {
            let told = "a store that is broken from outside says that trying again may help";
            return Err(Broken::new(format!("{told}: {} was told, at {doing}: {text}", path.display())));
        }
        *errors.entry(kind.clone()).or_default() += 1;
    }
    Ok(())
}

/// The files whose names begin and end so, in the order of the number in between.
pub(crate) fn files(folder: &Path, begin: &str, end: &str) -> anyhow::Result<Vec<(Vec<u64>, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)?.strip_suffix('.'));
        if let Some(number) = number {
            let numbers = number.split('.').map(str::parse).collect::<Result<Vec<u64>, _>>();
            found.push((numbers.with_context(|| format!("a file named {name}"))?, path));
        }
    }
    found.sort();
    Ok(found)
}

impl Held {
    /// Counts what was done by the run.
    fn count(&mut self, note: Note) {
        match note {
            Note::Fault { kind, .. } => {
                if let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.name() == kind) {
                    self.kills.count(fault);
                }
                *self.faults.entry(kind).or_default() += 1;
            }
            Note::Looked { events, .. } => self.looked.push(events),
            Note::ToKill(asked) => self.kills_asked = asked,
            _ => {}
        }
    }

    /// Why nothing is said of the store, although nothing was found: not all was done that was asked for.
    pub(crate) fn falls_short(&self) -> Option<String> {
        let (asked, kind) = (self.kills_asked, self.kind?);
        let crashes = match kind {
            Kind::Postgres => self.kills.server,
            Kind::Sqlite => self.kills.workers,
        };
        let looked = self.looked.len();
        if !self.kills.reach(asked, kind) {
            return Some(format!("{asked} kills of each kind were asked for, and there were {}", self.kills));
        }
        (looked < crashes).then(|| {
            format!("after {looked} of {crashes} kills it was looked for what had been acknowledged")
        })
    }

    /// What could have happened and did not, so that nothing is proven of it.
    fn missing(&self) -> Vec<&str> {
        let faults = self.kind.into_iter().flat_map(Fault::of).map(Fault::name);
        let mut missing: Vec<_> = faults.filter(|name| !self.faults.contains_key(*name)).collect();
        let Tally { appended, repeated, conflicted, reused, unknown_written, unknown_idle, read, .. } =
            self.tally;
        for (count, name) in [
            (appended, "an append"),
            (repeated, "a repeat"),
            (conflicted, "a conflict"),
            (reused, "a reuse of ids"),
            (self.rolled_back, "a transaction that was rolled back"),
            (self.marks, "a row that was committed with an append"),
            (unknown_written, "an unknown append that was written"),
            (unknown_idle, "an unknown append that was not"),
            (read, "a read"),
            (self.kept.changes_refused, "a change of a stream that was refused"),
            (self.kept.changes_unknown, "a change of a stream of unknown outcome"),
            (self.kept.archived, "an event that is archived in the end"),
            (self.kept.erased, "an event that is erased in the end"),
        ] {
            if count == 0 {
                missing.push(name);
            }
        }
        let sum = |of: fn(&Followed) -> usize| {
            self.followed.iter().map(|(_, followed)| of(followed)).sum::<usize>()
        };
        for (count, name) in [
            (sum(|followed| followed.lives.saturating_sub(1)), "a subscriber that was begun again"),
            (sum(|followed| followed.again), "an event that was seen again"),
            (sum(|followed| followed.unknown_moved), "an unknown move that happened"),
            (sum(|followed| followed.unknown_stayed), "an unknown move that did not"),
        ] {
            if count == 0 {
                missing.push(name);
            }
        }
        missing
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            appended,
            repeated,
            conflicted,
            reused,
            refused,
            unknown_written,
            unknown_idle,
            read,
            unread,
        } = self.tally;
        writeln!(f, "  events in the log    {}", self.events)?;
        writeln!(
            f,
            "  appends              {appended} acknowledged, {repeated} repeats, {conflicted} conflicts, {reused} reused ids, {refused} refused, {} of them rolled back",
            self.rolled_back
        )?;
        writeln!(f, "  transactions         {} rows that were committed with an append", self.marks)?;
        let Kept { appended, refused, read: kept_read, done, .. } = &self.kept;
        let done: Vec<_> = done.iter().map(|(what, count)| format!("{count} {}", what.name())).collect();
        writeln!(
            f,
            "  set apart            {}; {} refused, {} unknown; {} events archived in the end, {} erased",
            done.join(", "),
            self.kept.changes_refused,
            self.kept.changes_unknown,
            self.kept.archived,
            self.kept.erased
        )?;
        writeln!(
            f,
            "  there                {appended} appends acknowledged, {refused} refused, {kept_read} reads"
        )?;
        writeln!(f, "  export, and copy     {} lines each, the same", self.copied)?;
        writeln!(f, "  unknown outcomes     {unknown_written} written, {unknown_idle} not written")?;
        writeln!(f, "  reads                {read}, and {unread} without an answer")?;
        let list = |counts: &BTreeMap<String, usize>| {
            let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        };
        writeln!(f, "  errors to try again  {}", list(&self.errors))?;
        writeln!(f, "  faults               {}", list(&self.faults))?;
        let (looks, last) = (self.looked.len(), self.looked.last().copied().unwrap_or_default());
        writeln!(f, "  kills                {}", self.kills)?;
        writeln!(f, "  looks after a crash  {looks}, the last one for {last} acknowledged events")?;
        for (follower, followed) in &self.followed {
            writeln!(f, "  subscriber           {}: {followed}", follower.name())?;
        }
        let missing = self.missing();
        let missing = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") };
        write!(f, "  never happened       {missing}")
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)?;
        for operation in self.operations.iter().take(SHOWN_MAX) {
            for line in operation.to_string().lines() {
                // A read of a long stream is a long line.
                let cut = line.char_indices().nth(400).map_or(line.len(), |(at, _)| at);
                write!(f, "\n  {}{}", &line[..cut], if cut < line.len() { " …" } else { "" })?;
            }
        }
        match self.operations.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more operations"),
        }
    }
}
