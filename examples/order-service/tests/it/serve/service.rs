//! A service within the test, on each store.

use std::any::Any;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use factum::{EventStore, Timers};
use order_service::mails::Post;
use order_service::read::ReadModel;
use order_service::serve::{Options, serve};
use order_service::shop::Shop;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::Client;
use crate::shops;

/// A service that runs. It is a client of itself.
pub(crate) struct Service {
    client: Client,
    folder: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
    /// What has to stay as long as it does.
    _store: Box<dyn Any + Send + Sync>,
}

impl Service {
    pub(crate) async fn in_memory(pay_within: impl Into<Option<Duration>>) -> Self {
        Self::start(shops::memory(), pay_within.into(), ()).await
    }

    pub(crate) async fn in_sqlite(pay_within: impl Into<Option<Duration>>) -> Self {
        let (shop, folder) = shops::sqlite().await;
        Self::start(shop, pay_within.into(), folder).await
    }

    pub(crate) async fn in_postgres(pay_within: impl Into<Option<Duration>>) -> Self {
        let (shop, database) = shops::postgres().await;
        Self::start(shop, pay_within.into(), database).await
    }

    /// Serves a shop whose customers have a day to pay, or as long as is said.
    pub(crate) async fn start<S, R>(
        shop: Shop<S, R>,
        pay_within: Option<Duration>,
        store: impl Any + Send + Sync,
    ) -> Self
    where
        S: EventStore + Timers<Tx = R::Tx> + Clone,
        R: ReadModel,
    {
        let folder = tempfile::tempdir().expect("a folder");
        let post = Post::folder(folder.path().join("mails")).expect("it can be made");
        let sender = "The shop <shop@example.com>".parse().expect("an address");
        let pay_within = pay_within.unwrap_or(Duration::from_hours(24));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.expect("tests that pass stop the service") };
            serve(shop, listener, Options { pay_within, post, sender }, stopped).await
        });
        Self { client: Client::new(base), folder, stop, task, _store: Box::new(store) }
    }

    /// The folder with the mails.
    pub(crate) fn mails_folder(&self) -> PathBuf {
        self.folder.path().join("mails")
    }

    /// The mails that were written, whole.
    pub(crate) fn mails(&self) -> Vec<String> {
        mails_in(&self.mails_folder())
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("no panic").expect("it could accept connections");
    }
}

impl Deref for Service {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The mails in a folder.
pub(crate) fn mails_in(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mails = files.filter(|file| file.extension().is_some_and(|extension| extension == "eml"));
    // Long headers go on in the next line, after a blank.
    mails.map(|file| std::fs::read_to_string(file).expect("text").replace("\r\n ", " ")).collect()
}
