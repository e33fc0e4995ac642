//! Reading the feed: a log of 100,000 events from its beginning, whole and filtered, beside one `SELECT` of the same rows.

use std::time::{Duration, Instant};

use factum::postgres::PostgresStore;
use factum::store::{Filter, ReadAll};
use factum::{EventName, EventStore, Position};
use factum_benches::{
    Bench, HISTORY_EVENTS, LeastSql, Postgres, RARE_CATEGORY, RARE_NAME, Raw, Rows, Sqlite, Turns,
    append_history,
};
use sqlx::Pool;

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let pool = bench.given(sqlite.readers());
        bench.given(append_history(&sqlite.store));
        for part in Part::ALL {
            let turns = factum(part.turns(&bench, "sqlite"), &sqlite.store, part);
            raw::<Raw<_>>(turns, &pool, part).run();
        }
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let pool = bench.given(postgres.beside());
        bench.given(append_history(&postgres.store));
        bench.given(postgres.settle());
        for part in Part::ALL {
            let turns = factum(part.turns(&bench, "postgres"), &postgres.store, part);
            let turns = just_started(turns, &postgres.store, part);
            raw::<Raw<_>>(turns, &pool, part).run();
        }
    }
}

/// Which part of the log is read, of which all is looked at.
#[derive(Clone, Copy)]
struct Part {
    title: &'static str,
    rows: Rows,
    events: u32,
}

impl Part {
    const ALL: [Self; 3] = [
        Self { title: "all events", rows: Rows::All, events: HISTORY_EVENTS },
        Self { title: "one name, a tenth", rows: Rows::Named(RARE_NAME), events: HISTORY_EVENTS / 10 },
        Self { title: "one category, a tenth", rows: Rows::Of(RARE_CATEGORY), events: HISTORY_EVENTS / 10 },
    ];

    fn turns<'a>(&self, bench: &'a Bench, store: &str) -> Turns<'a> {
        bench.compare(format!("{store}: read {}", self.title)).elements(self.events)
    }

    fn filter(&self) -> Filter {
        match self.rows {
            Rows::All => Filter::all(),
            Rows::Named(name) => {
                Filter { names: vec![EventName::new(name).expect("a name")], ..Filter::all() }
            }
            Rows::Of(category) => Filter { categories: vec![category.to_owned()], ..Filter::all() },
        }
    }
}

/// By a store that knows how far the log goes.
fn factum<'a>(turns: Turns<'a>, store: &'a impl EventStore, part: Part) -> Turns<'a> {
    turns.of("factum", move |times| async move {
        let begin = Instant::now();
        for _ in 0..times {
            read(store, part).await;
        }
        begin.elapsed()
    })
}

/// By a store that has to find that out, page by page: as the first subscription after a start.
fn just_started<'a>(turns: Turns<'a>, store: &'a PostgresStore, part: Part) -> Turns<'a> {
    turns.of("factum, just started", move |times| async move {
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let store = PostgresStore::from_pool(store.pool().clone());
            let begin = Instant::now();
            read(&store, part).await;
            took += begin.elapsed();
        }
        took
    })
}

async fn read(store: &impl EventStore, part: Part) {
    let (mut after, mut events) = (Position::START, 0);
    loop {
        let page = store.read_all(ReadAll::after(after).filter(part.filter())).await.expect("it can be read");
        events += page.events.len();
        after = page.checkpoint.position;
        if page.end {
            break;
        }
    }
    assert_eq!(events, part.events as usize);
}

fn raw<'a, R: LeastSql>(turns: Turns<'a>, pool: &'a Pool<R::Database>, part: Part) -> Turns<'a> {
    turns.beside("raw", move |times| async move {
        let begin = Instant::now();
        for _ in 0..times {
            assert_eq!(R::read(pool, part.rows).await, part.events);
        }
        begin.elapsed()
    })
}
