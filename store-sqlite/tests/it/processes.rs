//! Several processes, and several handles, on one file.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use factum_core::store::Append;
use factum_core::{AppendError, EventId, EventStore, Expected, Position, Version};
use factum_sqlite::SqliteStore;

use crate::support::{event, everything, file, ready, stream};

/// How an append of a child was acknowledged.
pub(crate) type Acknowledged = (EventId, Position);

/// The variables that tell a child what to do.
const FILE: &str = "FACTUM_SQLITE_TEST_FILE";
const APPENDS: &str = "FACTUM_SQLITE_TEST_APPENDS";

/// A process that appends so often from each of four tasks, and prints each acknowledgement.
pub(crate) fn spawn_child(path: &Path, appends: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "processes::child", "--ignored", "--nocapture"])
        .env(FILE, path)
        .env(APPENDS, appends.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// The acknowledgements a child prints, until it ends.
pub(crate) fn acknowledged(child: &mut Child) -> impl Iterator<Item = Acknowledged> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    lines.map_while(Result::ok).filter_map(|line| {
        let mut words = line.strip_prefix("acknowledged ")?.split(' ');
        let id = words.next()?.parse().ok()?;
        // The last line of a child that was killed may be cut off: its full stop is missing then.
        let position = words.next()?.strip_suffix('.')?.parse().ok()?;
        Some((EventId(id), Position(position)))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is what the child processes of other tests run"]
async fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let appends: u64 = std::env::var(APPENDS).expect("is set").parse().expect("a number");
    let store = SqliteStore::connect(path).await.expect("opens");
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut version = Version::NONE;
            for _ in 0..appends {
                let (id, position) = append_next(&store, &mut version).await;
                let line = format!("\nacknowledged {id} {position}.\n");
                std::io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    store.close().await;
}

/// Appends after the version last seen, and again after the one it finds, until it wins.
async fn append_next(store: &SqliteStore, version: &mut Version) -> Acknowledged {
    loop {
        let event = event();
        let id = event.id;
        match store.append(Append::to(stream("counter"), Expected::Exactly(*version), vec![event])).await {
            Ok(appended) => {
                *version = appended.version();
                return (id, appended.position);
            }
            Err(AppendError::Conflict(conflict)) => *version = conflict.actual.unwrap_or_default(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Everything that was acknowledged is where it was acknowledged to be.
pub(crate) async fn assert_kept(store: &SqliteStore, acknowledged: &[Acknowledged]) {
    let recorded: HashMap<_, _> =
        everything(store).await.into_iter().map(|event| (event.id, event.position)).collect();
    for (id, position) in acknowledged {
        assert_eq!(recorded.get(id), Some(position), "of {}", recorded.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_a_file_and_lose_nothing() {
    let (store, dir) = ready().await;
    let children: Vec<_> = (0..3)
        .map(|_| {
            let mut child = spawn_child(&file(&dir), 50);
            tokio::task::spawn_blocking(move || {
                let all: Vec<_> = acknowledged(&mut child).collect();
                assert!(child.wait().expect("ends").success());
                all
            })
        })
        .collect();
    let mut all = Vec::new();
    let mut version = Version::NONE;
    for _ in 0..50 {
        all.push(append_next(&store, &mut version).await);
    }
    for child in children {
        all.extend(child.await.expect("no panic"));
    }
    assert_eq!(all.len(), 650);
    assert_kept(&store, &all).await;
    assert_eq!(everything(&store).await.len(), 650, "and nothing that nobody appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_share_a_file_and_lose_nothing() {
    let (store, dir) = ready().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let path = file(&dir);
        tasks.push(tokio::spawn(async move {
            let store = SqliteStore::connect(path).await.expect("opens");
            let (mut version, mut all) = (Version::NONE, Vec::new());
            for _ in 0..50 {
                all.push(append_next(&store, &mut version).await);
            }
            all
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("no panic"));
    }
    assert_kept(&store, &all).await;
    assert_eq!(everything(&store).await.len(), 200);
}
