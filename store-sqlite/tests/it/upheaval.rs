//! Streams that are archived, restored, truncated and deleted by several processes while they append to them, some of
//! which are killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use factum_conformance::upheaval::{Followers, Journal, assert_accounted_for, disturb};
use factum_sqlite::SqliteStore;
use tokio::task::JoinHandle;

use crate::support::{file, ready};

/// Clients of each process.
const CLIENTS: usize = 6;
/// Processes beside this one that come to their end.
const PROCESSES: usize = 2;
/// Processes that are killed, one after the other.
const VICTIMS: usize = 5;
const TURNS: u64 = 60;

/// The variables that tell another process what to do.
const FILE: &str = "FACTUM_SQLITE_UPHEAVAL_FILE";
const NAME: &str = "FACTUM_SQLITE_UPHEAVAL_NAME";
const HOW_LONG: &str = "FACTUM_SQLITE_UPHEAVAL_TURNS";

/// Clients that take so many turns, each in a task.
async fn disturb_with_many(store: &SqliteStore, journal: &Journal, name: &str, turns: u64) {
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
    let Some(path) = std::env::var_os(FILE) else { return };
    let name = std::env::var(NAME).expect("is set");
    let turns = std::env::var(HOW_LONG).expect("is set").parse().expect("a number");
    let journal = Journal::telling(|line| {
        std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).expect("somebody listens");
    });
    let store = SqliteStore::connect(path).await.expect("opens");
    disturb_with_many(&store, &journal, &name, turns).await;
    store.close().await;
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
    fn start(path: &Path, journal: &Journal, name: &str, turns: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "upheaval::as_another_process", "--ignored", "--nocapture"]);
        command.env(FILE, path).env(NAME, name).env(HOW_LONG, turns.to_string()).stdout(Stdio::piped());
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
async fn nothing_is_lost_by_many_processes_some_of_which_are_killed() {
    let (store, dir) = ready().await;
    let path = file(&dir);
    let apart = SqliteStore::connect(&path).await.expect("opens");
    let journal = Journal::default();
    let followers = Followers::of(&[store.clone(), apart]);
    let processes: Vec<_> = (0..PROCESSES)
        .map(|process| Process::start(&path, &journal, &format!("process-{process}"), TURNS))
        .collect();
    let here = tokio::spawn({
        let (store, journal) = (store.clone(), journal.clone());
        async move { disturb_with_many(&store, &journal, "here", TURNS).await }
    });
    for victim in 0..VICTIMS {
        let process = Process::start(&path, &journal, &format!("victim-{victim}"), u64::MAX);
        process.die_after(200 + 70 * victim).await;
    }
    for process in processes {
        process.succeed().await;
    }
    here.await.expect("no panic");

    let seen = followers.up_to_here(&store).await;
    let tally = assert_accounted_for(&store, &journal, &seen).await;
    println!("{tally:?}");
    let often = [tally.acknowledged, tally.refused, tally.repeated, tally.unknown, tally.erased];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
    let often = [tally.deleted, tally.archived, tally.restored, tally.truncated];
    assert!(often.iter().all(|&times| times > 0), "{tally:?}");
}
