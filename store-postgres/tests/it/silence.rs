//! A network that swallows everything: calls end in time, and the pool has its places back when it works again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use factum_core::{Checkpoints, EventStore, Expected, StoreErrorKind};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::given::{PATIENCE, database, events_of, kind_of, one, run, store, stranger, until};

/// A way to the server on which bytes can be made to vanish.
struct Proxy {
    port: u16,
    swallows: Arc<AtomicU8>,
}

/// What vanishes.
#[derive(Clone, Copy)]
enum Swallow {
    Nothing,
    Everything,
    /// The question whether the server is alive, and what comes after it.
    Ping,
}

/// A message of its own that asks for nothing but an answer.
const PING: &[u8] = b"S\0\0\0\x04";

impl Swallow {
    fn takes(now: u8, bytes: &[u8]) -> bool {
        now == Self::Everything as u8 || (now == Self::Ping as u8 && bytes == PING)
    }
}

impl Proxy {
    async fn to(server: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        let swallows = Arc::new(AtomicU8::new(Swallow::Nothing as u8));
        let now = swallows.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((&*server.0, server.1)).await.expect("the server is there");
                let (client, server) = (client.into_split(), server.into_split());
                // A connection that has lost bytes stays silent for ever, as one of a vanished peer does.
                let lost = Arc::new(AtomicBool::new(false));
                for (mut from, mut to) in [(client.0, server.1), (server.0, client.1)] {
                    let (now, lost) = (now.clone(), lost.clone());
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 1 << 16];
                        while let Ok(count @ 1..) = from.read(&mut bytes).await {
                            let taken = Swallow::takes(now.load(Ordering::SeqCst), &bytes[..count]);
                            lost.fetch_or(taken, Ordering::SeqCst);
                            if !lost.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).await.is_err() {
                                return;
                            }
                        }
                        if lost.load(Ordering::SeqCst) {
                            std::future::pending::<()>().await;
                        }
                    });
                }
            }
        });
        Self { port, swallows }
    }

    fn swallow(&self, now: Swallow) {
        self.swallows.store(now as u8, Ordering::SeqCst);
    }
}

/// A store with two connections, and the proxy they go through.
async fn through_a_proxy(database: &Database) -> (PostgresStore, Proxy) {
    let options: PgConnectOptions = database.url().parse().expect("the kit's URL is one");
    let proxy = Proxy::to((options.get_host().to_owned(), options.get_port())).await;
    let at = format!("{}:{}", options.get_host(), options.get_port());
    let url = database.url().replace(&at, &format!("127.0.0.1:{}", proxy.port));
    let store = PostgresStore::builder()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(2))
        .answer_timeout(Duration::from_millis(300))
        .connect(&url)
        .await
        .expect("connects");
    both_work(&store).await;
    (store, proxy)
}

async fn both_work(store: &PostgresStore) {
    let both = async { tokio::join!(store.checkpoint("s"), store.checkpoint("s")) };
    let (one, other) = tokio::time::timeout(PATIENCE, both).await.expect("in time");
    one.and(other).expect("each has a connection");
}

/// After this the pool has its connections back.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_costs_time_but_no_connection() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database).await;
    settle().await;
    proxy.swallow(Swallow::Everything);
    // One waits until its time is up, one is dropped.
    let read = store.checkpoint("s").await.expect_err("nobody answers");
    assert_eq!(*read.kind(), StoreErrorKind::Busy);
    let _ = tokio::time::timeout(Duration::from_millis(50), store.checkpoint("s")).await;
    proxy.swallow(Swallow::Nothing);
    both_work(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_falls_silent_after_the_answer_costs_no_connection() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database).await;
    settle().await;
    // On their way back to the pool, which asks the server whether they are alive.
    proxy.swallow(Swallow::Ping);
    both_work(&store).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.swallow(Swallow::Nothing);
    both_work(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_into_silence_ends_in_time_and_holds_up_no_other() {
    let database = database().await;
    let (store, proxy) = through_a_proxy(&database).await;
    settle().await;
    proxy.swallow(Swallow::Everything);
    let append = one("1", Expected::Any);
    let lost = tokio::time::timeout(PATIENCE, store.append(append.clone())).await.expect("in time");
    assert_eq!(kind_of(lost), StoreErrorKind::Busy);
    proxy.swallow(Swallow::Nothing);
    store.append(append).await.expect("appends");
    assert_eq!(events_of(&store, "1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_vanishes_with_the_lock_is_given_up_by_the_server() {
    let database = database().await;
    let mut stranger = stranger(&database).await;
    let pause = "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END';
                 CREATE TRIGGER pause AFTER INSERT ON factum_events FOR EACH ROW
                 WHEN (NEW.stream = 'slow') EXECUTE FUNCTION pause()";
    run(&mut stranger, pause).await;
    let (vanishing, proxy) = through_a_proxy(&database).await;
    settle().await;
    let vanished = tokio::spawn(async move { vanishing.append(one("slow", Expected::Any)).await });
    let sleeps = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    until(&mut stranger, sleeps).await;
    proxy.swallow(Swallow::Everything);
    assert_eq!(kind_of(vanished.await.expect("no panic")), StoreErrorKind::Busy);
    // The server has not noticed: nobody told it that the connection ended.
    let other = store(&database).await;
    let next = tokio::time::timeout(Duration::from_secs(5), other.append(one("1", Expected::Any)));
    next.await.expect("the lock is free soon").expect("appends");
    assert_eq!(events_of(&other, "slow").await.len(), 0);
}
