//! The archive: what 100,000 archived events do to those in use, beside a log that has only the latter.
//!
//! Three logs end with the same 10,000 events in use: one has nothing else, one has the 100,000 before them in the archive,
//! and one has them in use as well.

use std::future::Future;

use factum::retention::Retention;
use factum::store::{Append, ReadAll, ReadStream};
use factum::{EventStore, Expected, Position, StreamId};
use factum_benches::{
    Bench, HISTORY_STREAMS, Postgres, Sqlite, Turns, append_history, at_once, deposits, stream,
};
use uuid::Uuid;

const STREAMS: u32 = 100;
const STREAM_EVENTS: u32 = 100;

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        let files = Before::ALL.map(|_| bench.given(Sqlite::new()));
        let logs = [0, 1, 2].map(|n| bench.given(Log::new(Before::ALL[n], files[n].store.clone())));
        compare(&bench, "sqlite", &logs);
    }
    if bench.is_about("postgres") {
        let databases = Before::ALL.map(|_| bench.given(Postgres::new()));
        let logs = [0, 1, 2].map(|n| bench.given(Log::new(Before::ALL[n], databases[n].store.clone())));
        for database in &databases {
            bench.given(database.settle());
        }
        compare(&bench, "postgres", &logs);
    }
}

/// What a log has before the events in question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Archived,
    InUse,
    Nothing,
}

impl Before {
    /// The last one is what the others are compared with.
    const ALL: [Self; 3] = [Self::Archived, Self::InUse, Self::Nothing];

    fn name(self) -> &'static str {
        match self {
            Self::Archived => "100,000 archived",
            Self::InUse => "100,000 in use",
            Self::Nothing => "nothing else",
        }
    }
}

struct Log<S> {
    before: Before,
    store: S,
    /// Where the events in question begin.
    begin: Position,
}

impl<S: EventStore + Retention> Log<S> {
    async fn new(before: Before, store: S) -> Self {
        if before != Before::Nothing {
            append_history(&store).await;
        }
        if before == Before::Archived {
            for number in 0..HISTORY_STREAMS {
                store.archive_stream(&stream(number), Expected::Exists).await.expect("it can be archived");
            }
        }
        let mut begin = Position::START;
        for number in 0..STREAMS {
            let append = Append::to(in_question(number), Expected::NoStream, deposits(STREAM_EVENTS));
            let appended = store.append(append).await.expect("it can be written");
            if number == 0 {
                begin = Position(appended.position.0 - u64::from(STREAM_EVENTS));
            }
        }
        Self { before, store, begin }
    }
}

fn in_question(number: u32) -> StreamId {
    StreamId::new("latest", &number.to_string()).expect("a name")
}

fn compare<S: EventStore + Clone>(bench: &Bench, name: &str, logs: &[Log<S>]) {
    each(
        bench.compare(format!("{name}: read a stream of 100 events")).elements(STREAM_EVENTS),
        logs,
        read_stream,
    );
    let events = STREAMS * STREAM_EVENTS;
    each(bench.compare(format!("{name}: read 10,000 events of the feed")).elements(events), logs, read_feed);
    each(bench.compare(format!("{name}: append to a new stream")), logs, append);
}

fn each<'a, S, F>(turns: Turns<'a>, logs: &'a [Log<S>], work: fn(S, Position) -> F)
where
    S: EventStore + Clone,
    F: Future<Output = ()> + Send + 'static,
{
    let add = |turns: Turns<'a>, log: &'a Log<S>| {
        let turn = move |times| {
            let (store, begin) = (log.store.clone(), log.begin);
            at_once(times, 1, move || work(store.clone(), begin))
        };
        match log.before {
            Before::Nothing => turns.beside(log.before.name(), turn),
            before => turns.of(before.name(), turn),
        }
    };
    logs.iter().fold(turns, add).run();
}

async fn read_stream(store: impl EventStore, _: Position) {
    let page = store.read_stream(ReadStream::new(in_question(7))).await.expect("it can be read");
    assert_eq!(page.events.len(), STREAM_EVENTS as usize);
}

async fn read_feed(store: impl EventStore, begin: Position) {
    let (mut after, mut events) = (begin, 0);
    while events < (STREAMS * STREAM_EVENTS) as usize {
        let page = store.read_all(ReadAll::after(after)).await.expect("it can be read");
        after = page.checkpoint.position;
        events += page.events.len();
    }
}

async fn append(store: impl EventStore, _: Position) {
    let stream = StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name");
    let append = Append::to(stream, Expected::NoStream, deposits(1));
    store.append(append).await.expect("it can be written");
}
