//! The shop as a service, over a real socket.

mod client;
mod faces;
mod flow;
mod ill;
mod nodes;
mod program;
mod promises;
mod service;

/// The same test on every store: `every_store_does_this::in_memory` and so on.
macro_rules! every_store {
    ($($(#[$doc:meta])* $name:ident => $test:path $(, $change:expr)?;)*) => {$(
        $(#[$doc])*
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_memory() {
                let service = crate::serve::service::Service::in_memory($($change)?).await;
                $test(&service).await;
                service.stop().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_sqlite() {
                let service = crate::serve::service::Service::in_sqlite($($change)?).await;
                $test(&service).await;
                service.stop().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_postgres() {
                let service = crate::serve::service::Service::in_postgres($($change)?).await;
                $test(&service).await;
                service.stop().await;
            }
        }
    )*};
}

pub(crate) use every_store;
