//! The contenders, a file for each.

pub(crate) mod cqrs_es;
pub(crate) mod disintegrate;
pub(crate) mod es_entity;
pub(crate) mod esrs;
pub(crate) mod eventcore;
pub(crate) mod evento;
pub(crate) mod factum;
pub(crate) mod pgbench;
pub(crate) mod raw_sqlx;
pub(crate) mod raw_tokio_postgres;
pub(crate) mod sourcery;
#[cfg(feature = "umadb")]
pub(crate) mod umadb;

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::contender::Answer;

/// Runs on a thread of its own what cannot be sent to another one, and stops it where the caller is dropped.
///
/// It costs some ten microseconds, beside commands that take a thousand.
async fn unsent<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Answer<T>
where
    T: Send + 'static,
    F: Future<Output = Answer<T>>,
{
    let runtime = Handle::current();
    let (_caller, gone) = oneshot::channel::<()>();
    let done = spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                done = work() => done,
                _ = gone => Err("the caller does not wait for it any more".into()),
            }
        })
    });
    done.await?
}
