//! UmaDB, by its client: a server of its own with a log of its own, and no Postgres.
//!
//! An account is a tag, and a command appends on the condition that nothing with the tag was recorded since it was read. Its server is
//! this program once more, in a process of its own, with a file beside those of the other server.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{
    DcbAppendCondition, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem, DcbSequencedEvent,
};
use umadb_server::{ServerOptions, StorageOptions, start_server_with_options};
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};
use crate::peers::raw_sqlx::{Account, NAME, decoded, payload};

/// Tells this program that it is the server: at which address, and in which folder.
const SERVE: &str = "FACTUM_COMPARE_UMADB";

/// UmaDB, and its server.
pub(crate) struct UmaDb {
    client: AsyncUmaDbClient,
    /// Of the last event that was handed to the follower.
    followed: Arc<AtomicU64>,
    _server: Server,
}

impl UmaDb {
    /// An empty log.
    pub(crate) async fn open(_postgres: &str) -> Answer<Self> {
        const ATTEMPTS: u32 = 100;
        let server = Server::start()?;
        let url = format!("http://{}", server.address);
        let mut attempts = 0;
        let client = loop {
            match UmaDbClient::new(url.clone()).connect_async().await {
                Ok(client) => break client,
                Err(failure) if attempts == ATTEMPTS => return Err(failure.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            attempts += 1;
        };
        Ok(Self { client, followed: Arc::default(), _server: server })
    }

    async fn append(&self, account: Uuid, after: Option<u64>, deposits: &[Deposit]) -> Answer<()> {
        let event = |deposit| {
            let event = DcbEvent::default().event_type(NAME).tags([tag(account)]).uuid(Uuid::new_v4());
            Answer::Ok(event.data(&payload(deposit)?[..]))
        };
        let events = deposits.iter().map(event).collect::<Answer<_>>()?;
        let condition = DcbAppendCondition { fail_if_events_match: events_of(account), after };
        self.client.append(events, Some(condition), None).await?;
        Ok(())
    }

    /// The account, and up to where it was read.
    async fn load(&self, account: Uuid) -> Answer<(Account, Option<u64>)> {
        let (events, head) = self.client.read_with_head(Some(events_of(account)), None, false, None).await?;
        let payloads = (1..).zip(events.iter().map(|event| &event.event.data[..]));
        Ok((Account::of(payloads)?, head))
    }
}

fn tag(account: Uuid) -> String {
    format!("account:{account}")
}

fn events_of(account: Uuid) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().types([NAME]).tags([tag(account)]))
}

#[async_trait]
impl Contender for UmaDb {
    fn table(&self) -> Option<&'static str> {
        None
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.append(account, None, &deposits).await
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let (_, head) = self.load(account).await?;
        self.append(account, head, &deposits).await
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.load(account).await?.0.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let mut events = self.client.read(None, None, false, None).await?;
        while let Some(event) = events.next().await {
            std::hint::black_box(decoded(&event?.event.data)?);
            handled.one();
        }
        Ok(Some(()))
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        let followed = Arc::clone(&self.followed);
        let after = Some(followed.load(Ordering::Relaxed)).filter(|&position| position > 0);
        let mut events = self.client.subscribe(None, after).await?;
        Ok(Some(Follower::dropped(async move {
            while let Some(event) = events.next().await {
                let DcbSequencedEvent { position, event, .. } = event?;
                let _ = heard.send(Heard::now(decoded(&event.data)?.reference));
                followed.store(position, Ordering::Relaxed);
            }
            Err("the subscription has ended".into())
        })))
    }
}

/// A process of its own, which is killed, and its file deleted, when this is dropped.
struct Server {
    process: Child,
    folder: PathBuf,
    address: String,
}

impl Server {
    fn start() -> Answer<Self> {
        // Whoever asks for a port that is free gets one that nobody had a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string();
        let folder = env::temp_dir().join(format!("factum-compare-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let mut command = Command::new(env::current_exe()?);
        command.env(SERVE, format!("{address} {}", folder.display())).stdout(Stdio::null());
        Ok(Self { process: command.spawn()?, folder, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Is the server until it is killed, if this process is to be that.
pub(crate) async fn serve() -> Option<Answer<()>> {
    let task = env::var(SERVE).ok()?;
    let (address, folder) = task.split_once(' ')?;
    let storage = StorageOptions::default().db_path(Path::new(folder));
    let options = ServerOptions { listen_addr: address.to_owned(), tls: None, api_key: None, storage };
    let (_stop, stopped) = oneshot::channel();
    let served = start_server_with_options(options, stopped).await;
    Some(served.map_err(|failure| failure.to_string().into()))
}
