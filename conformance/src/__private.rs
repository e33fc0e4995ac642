//! What generated code calls, and the tests of this crate.

use std::time::Duration;

use tokio::runtime::Builder;

use crate::{Fixture, seen};

/// As many threads as it takes for tasks to meet, on machines with few cores too.
const THREADS: usize = 4;

/// Runs a promise on an empty store.
pub fn run<F: Fixture, P: Future<Output = ()>>(promise: impl FnOnce(F) -> P) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("the system gives a runtime its threads");
    runtime.block_on(async { promise(F::empty().await).await });
}

/// Lets promises wait only so long for what does not happen: for stores that are known to be broken. The first call in a
/// process decides.
pub fn be_impatient(patience: Duration) {
    let _ = seen::PATIENCE.set(patience);
}
