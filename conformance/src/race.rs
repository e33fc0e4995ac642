//! Doing things at the same time.

use std::sync::Arc;

use tokio::sync::Barrier;

use crate::seen::soon;

/// Runs the racers at the same time, as nearly as a barrier can make it so, and gives what each came to, in order.
pub(crate) async fn race<R>(racers: impl IntoIterator<Item = R>) -> Vec<R::Output>
where
    R: Future<Output: Send> + Send + 'static,
{
    let racers: Vec<R> = racers.into_iter().collect();
    let start = Arc::new(Barrier::new(racers.len()));
    let running: Vec<_> = racers
        .into_iter()
        .map(|racer| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(running.len());
    for racer in running {
        outcomes.push(soon("the end of a race", racer).await.expect("a racer does not panic"));
    }
    outcomes
}
