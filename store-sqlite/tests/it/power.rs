//! A loss of power in the middle of appends, and of writing the log back.
//!
//! The machine is not really switched off. A process that appends is frozen at some moment, and what its disk would have may
//! be made of its files then, since it is known what SQLite had asked the disk to keep:
//!
//! - Of the log, everything up to the commit of the last append that was acknowledged: the commit had waited for the disk.
//!   Of what was written after that, any sector may be there, be as before, or be anything.
//! - Of the file, everything that is not in the log any more. Where the log is written back when the power goes, each sector of
//!   a page may be the old or the new one.
//!
//! That a flush does what it says is for the disk to promise; that SQLite asks for one is only looked at in its setting.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use factum_core::store::Append;
use factum_core::{EventId, EventStore, Expected, NewEvent, Position, RecordedEvent, Transactional};
use factum_sqlite::SqliteStore;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{event, everything, file, one, ready, stranger, stream};
use crate::wal::Log;

/// How many times the power goes.
const IMAGES: usize = 24;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

const FILE: &str = "FACTUM_SQLITE_TEST_POWER_FILE";

/// The events of an append, as it was acknowledged.
type Acknowledged = (Vec<EventId>, Position);

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_loss_of_power() {
    let (store, dir) = ready().await;
    store.close().await;
    let mut dice = Dice::new();
    let writer = Writer::start(&file(&dir));
    let (mut with_tail, mut with_pages, mut too_short) = (0, 0, 0);
    for image in 0..IMAGES {
        writer.write_on(8, Duration::from_millis(dice.below(100) as u64)).await;
        let Frozen { mut database, log, acknowledged } = writer.freeze(&file(&dir)).await;
        let (ids, _) = acknowledged.iter().max_by_key(|(_, position)| *position).expect("there are some");
        let end = log.end_of_commit(ids[0].0.as_bytes());

        // Less than that is not enough, or what follows would prove nothing.
        if let Some(shorter) = log.commit_before(end).filter(|_| image % 4 == 0) {
            let recovered = recover(&database, &log.bytes()[..shorter]).await;
            let (lost, _) = recovered.lost(&acknowledged).await;
            assert!(!lost.is_empty(), "image {image}, {dice:?}: the last commit was of no use");
            too_short += 1;
        }
        let (mut bytes, tail) = (log.bytes().to_vec(), log.end() - end);
        damage_tail(&mut bytes, end, &mut dice);
        let pages = tear_pages(&mut database, &log, end, &mut dice);
        with_tail += usize::from(tail > 0);
        with_pages += usize::from(pages > 0);
        let what = format!(
            "image {image}, {dice:?}: {} acknowledged, {tail} bytes after that, {pages} pages torn",
            acknowledged.len()
        );
        let recovered = recover(&database, &bytes).await;
        let (lost, events) = recovered.lost(&acknowledged).await;
        assert_eq!(lost, [], "{what}");
        recovered.assert_lawful(&events, &what).await;
    }
    writer.end();
    assert!(too_short > 0, "no image could be cut shorter");
    assert!(with_tail > 0, "nothing was under way in any image");
    assert!(with_pages > 0, "nothing was to be written back in any image");
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let (store, _dir) = ready().await;
    let mut tx = store.begin().await.expect("begins");
    let level: i64 =
        sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *tx).await.expect("has a setting");
    assert_eq!(level, 2, "that is FULL");
}

/// Takes from the disk what was not asked of it yet.
fn damage_tail(log: &mut Vec<u8>, end: usize, dice: &mut Dice) {
    let cut = end + dice.below(log.len() - end + 1);
    match dice.below(4) {
        0 => log.truncate(cut),
        1 => log[cut..].fill(0),
        way => {
            // In the sector where the acknowledged part ends, that part is there: it was flushed.
            let mut at = end;
            while at < log.len() {
                let next = log.len().min((at / SECTOR + 1) * SECTOR);
                if dice.below(2) == 0 {
                    let anything = if way == 2 { 0 } else { u8::try_from(dice.below(256)).expect("a byte") };
                    log[at..next].fill(anything);
                }
                at = next;
            }
        }
    }
}

/// Writes pages of the log back, as far as the disk came with each. Says how many.
fn tear_pages(database: &mut Vec<u8>, log: &Log, end: usize, dice: &mut Dice) -> usize {
    let mut torn = 0;
    for (at, page) in log.not_written_back(end) {
        if dice.below(3) > 0 {
            continue;
        }
        torn += 1;
        if database.len() < at + page.len() {
            database.resize(at + page.len(), 0);
        }
        for (sector, new) in page.chunks(SECTOR).enumerate() {
            if dice.below(2) == 0 {
                database[at + sector * SECTOR..][..new.len()].copy_from_slice(new);
            }
        }
    }
    torn
}

/// The store that is there after the power is back.
struct Recovered {
    store: SqliteStore,
    dir: TempDir,
}

async fn recover(database: &[u8], log: &[u8]) -> Recovered {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(file(&dir), database).expect("writes");
    std::fs::write(dir.path().join("events.db-wal"), log).expect("writes");
    let store = SqliteStore::connect(file(&dir)).await.expect("recovers");
    Recovered { store, dir }
}

impl Recovered {
    /// The acknowledged events that are not where they were acknowledged to be, and all that are there.
    async fn lost(&self, acknowledged: &[Acknowledged]) -> (Vec<EventId>, Vec<RecordedEvent>) {
        let events = everything(&self.store).await;
        let recorded: HashMap<_, _> = events.iter().map(|event| (event.id, event.position)).collect();
        let mut lost = Vec::new();
        for (ids, last) in acknowledged {
            for (id, position) in ids.iter().zip(last.0 + 1 - ids.len() as u64..) {
                if recorded.get(id) != Some(&Position(position)) {
                    lost.push(*id);
                }
            }
        }
        (lost, events)
    }

    /// Every append is whole, SQLite finds nothing wrong, and the store goes on.
    async fn assert_lawful(&self, events: &[RecordedEvent], what: &str) {
        let mut appends: BTreeMap<Uuid, (usize, usize)> = BTreeMap::new();
        for event in events {
            let (append, whole) = origin_of(event);
            appends.entry(append).or_insert((0, whole)).0 += 1;
        }
        for (append, (found, whole)) in appends {
            assert_eq!(found, whole, "of append {append}: {what}");
        }
        let said: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut stranger(&file(&self.dir)).await)
            .await
            .expect("checks");
        assert_eq!(said, "ok", "{what}");
        let next = self.store.append(one("after")).await.expect("goes on");
        assert!(events.last().is_none_or(|last| last.position < next.position), "{what}");
    }
}

/// The process that appends.
struct Writer {
    child: Child,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
}

/// Its files at a moment, and what it had acknowledged before.
struct Frozen {
    database: Vec<u8>,
    log: Log,
    acknowledged: Vec<Acknowledged>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "power::writer", "--ignored", "--nocapture"])
            .env(FILE, path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        std::thread::spawn({
            let acknowledged = Arc::clone(&acknowledged);
            move || {
                for line in lines.map_while(Result::ok) {
                    acknowledged.lock().expect("nobody panics").extend(acknowledgement(&line));
                }
            }
        });
        Self { child, acknowledged }
    }

    fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.lock().expect("nobody panics").clone()
    }

    /// Lets it go on until so many more were acknowledged, and a little longer.
    async fn write_on(&self, more: usize, longer: Duration) {
        self.signal("CONT");
        let (enough, begun) = (self.acknowledged().len() + more, Instant::now());
        while self.acknowledged().len() < enough {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not append");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(longer).await;
    }

    /// Stops it wherever it is.
    async fn freeze(&self, path: &Path) -> Frozen {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.child.id());
        // The state is what follows the name, which is in brackets.
        while !std::fs::read_to_string(&stat).expect("it is there").contains(") T ") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What is read later than this was said before, too, but need not be known.
        let acknowledged = self.acknowledged();
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            std::fs::read(name).expect("reads")
        };
        Frozen { database: beside(""), log: Log::new(beside("-wal"), &beside("-shm")), acknowledged }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    fn end(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that was ended before is no failure.
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is the process that loses its power"]
async fn writer() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let store = SqliteStore::connect(path).await.expect("opens");
    let mut tasks = Vec::new();
    for task in 0..4_usize {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            // Some appends fit into a page, others do not.
            for round in task.. {
                let events = events_of_one_append(1 + round % 4, 100 + (round * 997) % 6_000);
                let ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
                let append = Append::to(stream(&format!("{}", round % 50)), Expected::Any, events);
                let position = store.append(append).await.expect("appends").position;
                let line = format!("\nacknowledged {} {position}.\n", ids.join(","));
                std::io::stdout().lock().write_all(line.as_bytes()).expect("somebody listens");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

fn acknowledgement(line: &str) -> Option<Acknowledged> {
    let mut words = line.strip_prefix("acknowledged ")?.split(' ');
    let ids = words.next()?.split(',').map(|id| id.parse().map(EventId)).collect::<Result<_, _>>().ok()?;
    // The last line of a process that was killed may be cut off: its full stop is missing then.
    let position = words.next()?.strip_suffix('.')?.parse().ok()?;
    Some((ids, Position(position)))
}

/// Events that say to which append they belong, and how many there are of it.
fn events_of_one_append(events: usize, bytes: usize) -> Vec<NewEvent> {
    let append = EventId::new();
    let payload = format!("{append} {events} {}", "x".repeat(bytes));
    std::iter::repeat_with(|| NewEvent { payload: payload.clone().into(), ..event() }).take(events).collect()
}

fn origin_of(event: &RecordedEvent) -> (Uuid, usize) {
    let payload = std::str::from_utf8(&event.payload).expect("it is text");
    let mut words = payload.split(' ');
    let append = words.next().and_then(|word| word.parse().ok());
    let events = words.next().and_then(|word| word.parse().ok());
    append.zip(events).expect("it says so")
}

/// What comes out differently each time. It is shown where a test fails; nothing hangs on having the same again, because the
/// moment of freezing is another one anyway.
#[derive(Debug)]
struct Dice {
    state: u64,
}

impl Dice {
    fn new() -> Self {
        Self { state: EventId::new().0.as_u64_pair().1 | 1 }
    }

    /// A number below this.
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 1).expect("a machine of 64 bits") % limit.max(1)
    }
}
