//! A process with many clients, which writes down what each asks for before it asks.

mod client;
mod keeper;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use factum_conformance::history::{History, Part, Recorder, Request};
use factum_core::store::Append;
use factum_core::{AppendError, StoreError};

use crate::change::{Change, Done};
use crate::clock::Clock;
use crate::content;
use crate::dice::Dice;
use crate::life::{self, Life, Stop};
use crate::note::{Note, Notebook, Trouble};
use crate::target::Target;

use self::client::Client;
use self::keeper::Keeper;

/// How the names of the histories begin: that of all clients, and that of what is set apart and erased.
pub(crate) const HISTORIES: [&str; 2] = ["worker-", "keeper-"];

/// How much a worker does.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Work {
    /// Which place it has among the workers, from 1 on.
    #[arg(long)]
    pub(crate) number: u64,
    /// How many clients there are.
    #[arg(long)]
    pub(crate) clients: usize,
    /// How many operations they do in a second, all together.
    #[arg(long)]
    pub(crate) rate: u64,
}

/// What the clients of a process share.
struct Desk {
    recorder: Recorder,
    /// Of those who use the streams that are archived, restored, truncated and deleted.
    keepers: Recorder,
    /// How many changes of these were asked for.
    changes: AtomicU64,
    clock: Clock,
    notes: Mutex<Notebook>,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
    conflicts: AtomicU64,
}

/// Works until it is told to stop, and then until nothing is unknown any more.
pub(crate) async fn work<T: Target>(address: &str, work: Work, life: Life) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let name = |what: &str, life: u64| format!("{what}{}.{life}", work.number);
    let history = |what: &str, nth: u64| life.folder.join(name(what, nth)).with_added_extension("history");
    let clock = Clock::of_machine()?;
    let [recorder, keepers] = HISTORIES.map(|what| {
        let path = history(what, life.nth);
        let sink = File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let recorder = Recorder::with_clock(&name(what, life.nth), move || clock.nanoseconds());
        anyhow::Ok(recorder.writing(sink))
    });
    let notes = life.folder.join(name(HISTORIES[0], life.nth)).with_added_extension("notes");
    let notes = Mutex::new(Notebook::create(&notes)?);
    let (acknowledged, unknown, conflicts, changes) = Default::default();
    let (recorder, keepers) = (recorder?, keepers?);
    let desk = Arc::new(Desk { recorder, keepers, changes, clock, notes, acknowledged, unknown, conflicts });

    let mut dice = Dice::new(life.seed, &[2, work.number, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    let [inherited, kept] = HISTORIES.map(|what| unanswered(&history(what, life.nth - 1)));
    let (mut inherited, mut kept) = (inherited?, kept?);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..work.clients {
        // The last one takes what is left.
        let share = |all: &mut VecDeque<Append>| {
            let takes = if number + 1 == work.clients { all.len() } else { all.len().min(2) };
            all.drain(..takes).collect()
        };
        let (open, open_kept) = (share(&mut inherited), share(&mut kept));
        let whose = format!("{}.{}.{number}", work.number, life.nth);
        let keeper = Keeper::new(store.clone(), Arc::clone(&desk), Dice::new(dice.next(), &[]), open_kept);
        let dice = Dice::new(dice.next(), &[]);
        let client = Client::new(store.clone(), Arc::clone(&desk), dice, whose, open, keeper);
        clients.spawn(client.run(work.pause_millis(), stop.clone()));
    }
    while !clients.is_empty() {
        life::tell(&desk.numbers());
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(500), clients.join_next()).await {
            ended??;
        }
    }
    life::tell(&desk.numbers());
    store.close().await;
    Ok(())
}

impl Work {
    /// How long a client rests after each operation, on average, if operations took no time.
    fn pause_millis(&self) -> u64 {
        let clients = u64::try_from(self.clients).expect("a number of things in memory");
        1000 * clients / self.rate.max(1)
    }
}

impl Desk {
    fn numbers(&self) -> [u64; 3] {
        [&self.acknowledged, &self.unknown, &self.conflicts].map(|number| number.load(Ordering::Relaxed))
    }

    /// Notes that the store said something else than yes or no to this.
    fn note_error(&self, doing: impl Into<String>, error: &StoreError) -> anyhow::Result<()> {
        self.note(Note::Error(Trouble::new(self.clock.nanoseconds(), doing, error)))
    }

    fn note_strange(&self, doing: impl Into<String>, error: &AppendError) -> anyhow::Result<()> {
        let (at, kind, text) = (self.clock.nanoseconds(), "Refusal".to_owned(), format!("{error:?}"));
        self.note(Note::Error(Trouble { at, is_transient: false, kind, doing: doing.into(), text }))
    }

    /// Notes that a stream is about to be changed as a whole. The number is the change's own.
    fn note_asked(&self, change: &Change) -> anyhow::Result<u64> {
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        self.note(Note::Asked { number, at: self.clock.nanoseconds(), change: change.clone() })?;
        Ok(number)
    }

    /// Notes what came of it: nothing, if it was refused.
    fn note_told(&self, number: u64, done: Option<Done>) -> anyhow::Result<()> {
        self.note(Note::Told { number, at: self.clock.nanoseconds(), done })
    }

    /// Notes that a transaction is rolled back.
    fn note_back(&self, append: &Append) -> anyhow::Result<()> {
        let first = append.events().next().expect("it has events");
        self.note(Note::Back { at: self.clock.nanoseconds(), id: first.id })
    }

    /// Notes that a row was committed with an append.
    fn note_mark(&self, append: &Append) -> anyhow::Result<()> {
        append.events().next().map_or(Ok(()), |first| self.note(Note::Mark(first.id)))
    }

    fn note(&self, note: Note) -> anyhow::Result<()> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).write([note])
    }
}

/// What is done, to be found again in the history: by the first of its ids.
fn name_of(doing: &str, append: &Append) -> String {
    append.events().next().map_or_else(String::new, |first| format!("{doing} {}", first.id))
}

/// What the process before asked for and was not told, to be asked once more with the same ids.
fn unanswered(history: &Path) -> anyhow::Result<VecDeque<Append>> {
    if !history.exists() {
        return Ok(VecDeque::new());
    }
    let history: History = fs::read_to_string(history)?.parse()?;
    let open = history.operations.into_iter().filter(|operation| operation.answered.is_none());
    Ok(open.filter_map(|operation| append_of(&operation.request)).collect())
}

/// The append that was asked for: what is in its events follows from their ids.
fn append_of(request: &Request) -> Option<Append> {
    let Request::Append(parts) = request else { return None };
    let mut parts = parts.iter().map(|Part { stream, expected, ids }| {
        (stream.clone(), *expected, ids.iter().copied().map(content::event).collect::<Vec<_>>())
    });
    let (stream, expected, events) = parts.next()?;
    let first = Append::to(stream, expected, events);
    Some(parts.fold(first, |append, (stream, expected, events)| append.and(stream, expected, events)))
}
