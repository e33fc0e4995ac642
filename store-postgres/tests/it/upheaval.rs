//! Streams that are archived, restored, truncated and deleted by several processes while they append to them; and while
//! the server, or one of the processes, is killed.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_conformance::upheaval::{Followers, Journal, assert_accounted_for, disturb};
use factum_postgres::PostgresStore;
use tokio::task::JoinHandle;

use crate::given::{PATIENCE, long_database, migrated_server};

/// Clients of each process.
const CLIENTS: usize = 8;
/// Processes beside this one.
const PROCESSES: usize = 2;
/// Processes that are killed, one after the other.
const VICTIMS: usize = 3;
const TURNS: u64 = 40;

/// Tells this binary that it is one of the other processes: a name without spaces, how many turns its clients take, and the URL.
const DISTURB: &str = "FACTUM_UPHEAVAL";

async fn disturbed_store(url: &str) -> PostgresStore {
    // Of a client in a transaction, and of the lanes of the others.
    PostgresStore::builder().max_connections(16).retry_for(PATIENCE).connect(url).await.expect("connects")
}

/// Clients that take so many turns, each in a task.
async fn disturb_with_many(store: &PostgresStore, journal: &Journal, name: &str, turns: u64) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (store, journal, name) = (store.clone(), journal.clone(), format!("{name}.{client}"));
            tokio::spawn(async move { disturb(store, journal, &name, turns).await })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is what the other processes of these tests run"]
async fn as_another_process() {
    let Ok(task) = env::var(DISTURB) else { return };
    let mut parts = task.splitn(3, ' ');
    let mut next = || parts.next().expect("a name, how many turns, and a URL");
    let (name, turns) = (next(), next().parse().expect("a number"));
    let journal = Journal::telling(|line| {
        std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).expect("somebody listens");
    });
    disturb_with_many(&disturbed_store(next()).await, &journal, name, turns).await;
}

/// Another process, which is killed when this is dropped.
struct Process {
    child: Child,
    /// How many lines it has said.
    heard: Arc<AtomicUsize>,
    /// Ends with the last line that it has said.
    hearing: JoinHandle<()>,
}

impl Process {
    fn start(url: &str, journal: &Journal, name: &str, turns: u64) -> Self {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["--exact", "upheaval::as_another_process", "--ignored", "--nocapture"]);
        command.env(DISTURB, format!("{name} {turns} {url}"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let (journal, heard) = (journal.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&heard);
        let hear = move || {
            for line in lines.map_while(Result::ok) {
                journal.hear(&line);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        };
        Self { child, heard, hearing: tokio::task::spawn_blocking(hear) }
    }

    async fn succeed(mut self) {
        (&mut self.hearing).await.expect("no panic");
        let status = self.child.wait().expect("ends");
        assert!(status.success(), "a process of clients failed: {status}");
    }

    /// It is killed when it has said so many lines, and all that it had said by then was heard.
    async fn die_after(mut self, lines: usize) {
        while self.heard.load(Ordering::SeqCst) < lines {
            assert!(!self.hearing.is_finished(), "it has ended by itself");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.child.kill().expect("kills");
        (&mut self.hearing).await.expect("no panic");
        assert_eq!(self.child.wait().expect("ends").code(), None, "it was killed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_many_processes_one_of_which_is_killed_now_and_then() {
    let database = long_database().await;
    let (writing, apart) = (disturbed_store(database.url()).await, disturbed_store(database.url()).await);
    let journal = Journal::default();
    let followers = Followers::of(&[writing.clone(), apart]);
    let processes: Vec<_> = (0..PROCESSES)
        .map(|process| Process::start(database.url(), &journal, &format!("process-{process}"), TURNS))
        .collect();
    let here = tokio::spawn({
        let (store, journal) = (writing.clone(), journal.clone());
        async move { disturb_with_many(&store, &journal, "here", TURNS).await }
    });
    for victim in 0..VICTIMS {
        let process = Process::start(database.url(), &journal, &format!("victim-{victim}"), u64::MAX);
        process.die_after(200 + 70 * victim).await;
    }
    for process in processes {
        process.succeed().await;
    }
    here.await.expect("no panic");

    let seen = followers.up_to_here(&writing).await;
    let tally = assert_accounted_for(&writing, &journal, &seen).await;
    println!("{tally:?}");
    let often = [tally.acknowledged, tally.refused, tally.repeated, tally.unknown, tally.erased];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
    let often = [tally.deleted, tally.archived, tally.restored, tally.truncated];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_where_the_server_is_killed_now_and_then() {
    let (server, store) = migrated_server().await;
    store.close().await;
    let (one, other) = (disturbed_store(server.url()).await, disturbed_store(server.url()).await);
    let journal = Journal::default();
    let followers = Followers::of(&[one.clone(), other.clone()]);
    let clients = [("one", &one), ("other", &other)].map(|(name, store)| {
        let (store, journal) = (store.clone(), journal.clone());
        tokio::spawn(async move { disturb_with_many(&store, &journal, name, 2 * TURNS).await })
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!clients.iter().any(JoinHandle::is_finished), "it is killed while it is used");
        tokio::task::block_in_place(|| {
            server.kill().expect("dies");
            server.start_again().expect("comes back");
        });
    }
    for client in clients {
        client.await.expect("no panic");
    }

    let seen = followers.up_to_here(&one).await;
    let tally = assert_accounted_for(&one, &journal, &seen).await;
    println!("{tally:?}");
    let often = [tally.acknowledged, tally.refused, tally.repeated, tally.erased];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
    let often = [tally.deleted, tally.archived, tally.restored, tally.truncated];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
}
