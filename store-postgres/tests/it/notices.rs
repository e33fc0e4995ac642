//! Notices: an idle process hears of an append of another one by being told, and not by looking.

use std::time::{Duration, Instant};

use factum_core::store::ReadAll;
use factum_core::{EventStore, Expected, Position};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use tokio::sync::mpsc;

use crate::given::{PATIENCE, database, one};

/// Who looks every 500 ms, and has just done so, is nowhere near.
const NEVER_BY_LOOKING: Duration = Duration::from_millis(25);

/// How often it is measured, at most: a busy machine may be slow several times, and looking does not get there once.
const ROUNDS_MAX: usize = 6;

/// A store of another process: with connections, settings and a listener of its own.
async fn other_process(database: &Database, notices: bool) -> PostgresStore {
    let builder = PostgresStore::builder().poll_interval(Duration::from_millis(500)).notifications(notices);
    builder.connect(database.url()).await.expect("connects")
}

/// How long after its acknowledgement each of so many appends was heard of by another process: the median.
async fn median_of_hearing(database: &Database, notices: bool, appends: usize) -> Duration {
    let (writer, reader) = (other_process(database, notices).await, other_process(database, notices).await);
    let mut at = Position::START;
    let (hear, mut heard) = mpsc::unbounded_channel();
    let waiting = tokio::spawn(async move {
        loop {
            reader.wait(at).await.expect("waits");
            let said = Instant::now();
            let page = reader.read_all(ReadAll::after(at)).await.expect("reads");
            at = page.checkpoint.position;
            if !page.events.is_empty() && hear.send((at, said)).is_err() {
                return;
            }
        }
    });
    let mut delays = Vec::with_capacity(appends);
    // The first is to find the listener listening, and is not counted.
    for turn in 0..=appends {
        // Nothing goes on in any of the processes.
        tokio::time::sleep(Duration::from_millis(if turn < 2 { 300 } else { 20 })).await;
        let appended = writer.append(one("1", Expected::Any)).await.expect("appends");
        let acknowledged = Instant::now();
        let said = hear_of(&mut heard, appended.position).await;
        if turn > 0 {
            delays.push(said.saturating_duration_since(acknowledged));
        }
    }
    waiting.abort();
    delays.sort_unstable();
    delays[appends / 2]
}

/// When it was said that there is something at a position.
async fn hear_of(heard: &mut mpsc::UnboundedReceiver<(Position, Instant)>, position: Position) -> Instant {
    loop {
        let next = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time");
        let (at, said) = next.expect("the reader goes on");
        if at >= position {
            return said;
        }
    }
}

/// That the notice is what wakes, and not how fast: the limit is far from what it takes, and out of reach without a notice,
/// as the same measurement says.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_told_of_an_append_long_before_it_would_look() {
    let database = database().await;
    let by_looking = median_of_hearing(&database, false, 5).await;
    assert!(
        by_looking > 4 * NEVER_BY_LOOKING,
        "who looks is as fast, so this proves nothing: {by_looking:?}"
    );

    let mut medians = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let median = median_of_hearing(&database, true, 50).await;
        println!("told after {median:?}, and by looking after {by_looking:?}");
        if median < NEVER_BY_LOOKING {
            return;
        }
        medians.push(median);
    }
    panic!("it seems to look, and not to be told: {medians:?}");
}
