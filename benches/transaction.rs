//! Appending in a transaction of the application's, which writes a row of its own too, beside two `INSERT`s.

use std::ops::DerefMut;

use factum::store::Append;
use factum::{EventStore, Expected, StreamId, Transactional};
use factum_benches::{Bench, LeastSql, Postgres, Raw, Sqlite, Turns, at_once, deposits};
use sqlx::Database;
use uuid::Uuid;

const CALLERS: [u32; 2] = [1, 8];

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let raw = bench.given(async { Raw::new(sqlite.beside().await).await });
        compare(&bench, "sqlite", &sqlite.store, &raw);
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let raw = bench.given(async { Raw::new(postgres.beside().await).await });
        compare(&bench, "postgres", &postgres.store, &raw);
    }
}

fn compare<S, R>(bench: &Bench, name: &str, store: &S, raw: &R)
where
    S: EventStore + Transactional + Clone,
    S::Tx: DerefMut<Target = <R::Database as Database>::Connection>,
    R: LeastSql,
{
    bench.given(async {
        let mut tx = store.begin().await.expect("a transaction");
        R::make_tables(&mut tx).await;
        store.commit(tx).await.expect("committed");
    });
    for callers in CALLERS {
        let turns = bench.compare(format!("{name}: a row and an event, callers: {callers}"));
        beside(factum::<S, R>(turns, store, callers), raw, callers).run();
    }
}

fn factum<'a, S, R>(turns: Turns<'a>, store: &S, callers: u32) -> Turns<'a>
where
    S: EventStore + Transactional + Clone,
    S::Tx: DerefMut<Target = <R::Database as Database>::Connection>,
    R: LeastSql,
{
    let store = store.clone();
    let order = move || {
        let store = store.clone();
        async move {
            let stream = StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name");
            let mut tx = store.begin().await.expect("a transaction");
            R::order_in(&mut tx).await;
            let append = Append::to(stream, Expected::NoStream, deposits(1));
            let _ = store.append_in(&mut tx, append).await.expect("it can be written");
            store.commit(tx).await.expect("committed");
        }
    };
    turns.of("factum", move |times| at_once(times, callers, order.clone()))
}

fn beside<'a>(turns: Turns<'a>, raw: &impl LeastSql, callers: u32) -> Turns<'a> {
    let raw = raw.clone();
    let order = move || {
        let raw = raw.clone();
        async move { raw.order_and_create().await }
    };
    turns.beside("raw", move |times| at_once(times, callers, order.clone()))
}
