//! Callers that do something at the same time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// How long it takes that `callers` callers do `work` this often altogether, each again as soon as it was done.
pub async fn at_once<W, F>(times: u32, callers: u32, work: W) -> Duration
where
    W: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let begun = Arc::new(AtomicU32::new(0));
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for _ in 0..callers {
        let (begun, work) = (Arc::clone(&begun), work.clone());
        under_way.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < times {
                work().await;
            }
        });
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("no panic");
    }
    begin.elapsed()
}
