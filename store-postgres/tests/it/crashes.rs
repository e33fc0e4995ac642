//! Crashes of a server whose commits do not wait for the disk: appends do, and must. Without their doing so, readers have seen
//! what is gone, and see its positions again with something else in them.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum_core::store::{Append, Appended, ReadAll};
use factum_core::{EventId, EventStore, Expected, Position, Transactional};
use factum_postgres::PostgresStore;
use factum_testkit::OwnServer;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::given::{all_events, ask, migrated_server, one, run, until};
use crate::race::Chance;

const WRITERS: usize = 6;
/// How often the server is killed.
const ROUNDS: u64 = 5;

/// What somebody was told of the log: where an event is.
type Told = Arc<Mutex<HashMap<EventId, Position>>>;

/// How much of what was told is not so any more.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forgotten {
    /// Appends that were acknowledged, and are gone.
    acknowledged: usize,
    /// Events that a reader had delivered, and that are gone.
    delivered: usize,
    /// Positions that a reader had delivered, in which there is something else.
    reused: usize,
}

fn tell(told: &Told, id: EventId, position: Position) {
    told.lock().expect("no panic").insert(id, position);
}

/// A server with an empty log, where a commit does not wait for the disk unless somebody asks for it.
async fn forgetful_server() -> OwnServer {
    let (server, store) = migrated_server().await;
    let mut connection = store.pool().acquire().await.expect("connects");
    run(&mut connection, "ALTER DATABASE postgres SET synchronous_commit = off").await;
    drop(connection);
    store.close().await;
    server
}

/// Stops the process that writes in the background what nobody waits for: the system would keep what it has written over
/// the crash of a server, and it writes often.
async fn stop_the_wal_writer(server: &OwnServer) {
    let mut connection = PgConnection::connect(server.url()).await.expect("connects");
    // A server accepts connections before it has started everything.
    until(&mut connection, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walwriter')")
        .await;
    let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let pid: i32 = ask(&mut connection, query).await;
    let stopped = Command::new("kill").args(["-STOP", &pid.to_string()]).status();
    assert!(stopped.expect("runs").success());
}

/// The function with which appends begin, but for what makes them wait for the disk; and the plain statement, which waits, appends
/// nothing: somebody seems to have the log to himself for ever.
async fn let_appends_not_wait(server: &OwnServer) {
    let mut connection = PgConnection::connect(server.url()).await.expect("connects");
    run(&mut connection, "SET synchronous_commit = on; SELECT setval('factum_alone', 1::bigint << 60)").await;
    let function: String =
        ask(&mut connection, "SELECT pg_get_functiondef('factum_begin_append'::regproc)").await;
    let broken = function.replace("set_config('synchronous_commit', 'on', true)", "true");
    assert_ne!(broken, function, "it waits for the disk in another way: break that");
    let lasting = broken.replace("IF NOT pg_visible_in_snapshot", "IF false AND NOT pg_visible_in_snapshot");
    assert_ne!(lasting, broken, "it puts that right in another way: break that");
    sqlx::raw_sql(AssertSqlSafe(lasting)).execute(&mut connection).await.expect("replaces it");
    connection.close().await.expect("closes");
}

/// Appends until the server is gone, alone and in transactions.
async fn write(store: PostgresStore, writer: usize, acknowledged: Told) {
    for turn in 0_u64.. {
        let append = one(&format!("{writer}"), Expected::Any);
        let id = append.streams()[0].events[0].id;
        let appended = if turn % 3 == 2 {
            in_transaction(&store, append).await
        } else {
            store.append(append).await.ok()
        };
        let Some(appended) = appended else { return };
        tell(&acknowledged, id, appended.position);
    }
}

async fn in_transaction(store: &PostgresStore, append: Append) -> Option<Appended> {
    let mut tx = store.begin().await.ok()?;
    let uncommitted = store.append_in(&mut tx, append).await.ok()?;
    store.commit(tx).await.ok()?;
    Some(uncommitted.committed())
}

/// Reads the feed until the server is gone.
async fn read(store: PostgresStore, delivered: Told) {
    let mut after = Position::START;
    loop {
        let _ = tokio::time::timeout(Duration::from_millis(20), store.wait(after)).await;
        let Ok(page) = store.read_all(ReadAll::after(after).limit(100)).await else { return };
        after = page.checkpoint.position;
        for event in page.events {
            tell(&delivered, event.id, event.position);
        }
    }
}

/// Kills the server under load at a moment that `chance` says, and starts it again: what is not as it was told before?
async fn crash(server: &OwnServer, chance: &mut Chance, acknowledged: &Told, delivered: &Told) -> Forgotten {
    let builder = || PostgresStore::builder().retry_for(Duration::ZERO).max_connections(12);
    let writing = builder().connect(server.url()).await.expect("connects");
    let reading = builder().connect(server.url()).await.expect("connects");
    stop_the_wal_writer(server).await;
    let before = delivered.lock().expect("no panic").len();
    let mut tasks = vec![tokio::spawn(read(reading, Arc::clone(delivered)))];
    for writer in 0..WRITERS {
        tasks.push(tokio::spawn(write(writing.clone(), writer, Arc::clone(acknowledged))));
    }
    tokio::time::sleep(Duration::from_millis(200 + chance.number(600))).await;
    tokio::task::block_in_place(|| server.kill().expect("dies"));
    for task in tasks {
        task.await.expect("no panic");
    }
    tokio::task::block_in_place(|| server.start_again().expect("comes back"));

    let store = builder().connect(server.url()).await.expect("connects");
    // Whoever is next gets the positions that come next.
    for _ in 0..50 {
        store.append(one("after", Expected::Any)).await.expect("appends");
    }
    let log: HashMap<_, _> =
        all_events(&store).await.into_iter().map(|event| (event.id, event.position)).collect();
    store.close().await;
    let taken: HashSet<_> = log.values().copied().collect();
    let mut forgotten = Forgotten::default();
    let is_kept = |id: &EventId, position: &Position| log.get(id) == Some(position);
    let delivered = delivered.lock().expect("no panic");
    assert!(delivered.len() > before, "the reader follows while others write");
    for (id, position) in delivered.iter().filter(|(id, position)| !is_kept(id, position)) {
        forgotten.delivered += usize::from(!log.contains_key(id));
        forgotten.reused += usize::from(taken.contains(position));
    }
    let acknowledged = acknowledged.lock().expect("no panic");
    forgotten.acknowledged = acknowledged.iter().filter(|(id, position)| !is_kept(id, position)).count();
    forgotten
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_forgets_nothing_although_commits_do_not_wait() {
    let server = forgetful_server().await;
    let (acknowledged, delivered) = (Told::default(), Told::default());
    let mut chance = Chance::new(3);
    for round in 0..ROUNDS {
        let forgotten = crash(&server, &mut chance, &acknowledged, &delivered).await;
        assert_eq!(forgotten, Forgotten::default(), "in round {round}");
    }
}

/// The same, if appends did not wait either: that this is what keeps the promise above, and that it would be seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_would_forget_appends_that_do_not_wait_for_the_disk() {
    let server = forgetful_server().await;
    let_appends_not_wait(&server).await;
    let (acknowledged, delivered) = (Told::default(), Told::default());
    let mut chance = Chance::new(3);
    let mut worst = Forgotten::default();
    for _ in 0..ROUNDS {
        let forgotten = crash(&server, &mut chance, &acknowledged, &delivered).await;
        println!("{forgotten:?}");
        worst.acknowledged = worst.acknowledged.max(forgotten.acknowledged);
        worst.delivered = worst.delivered.max(forgotten.delivered);
        worst.reused = worst.reused.max(forgotten.reused);
        if worst.acknowledged > 0 && worst.delivered > 0 && worst.reused > 0 {
            return;
        }
    }
    panic!("nothing was lost without waiting, so waiting is not put to the test: {worst:?}");
}
