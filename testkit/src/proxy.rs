//! A proxy between a client and its server, which breaks their connections when a test wants it to.

mod connection;
mod faults;
mod messages;

use std::{
    fmt, io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use connection::{Connection, Ending};
use faults::{Faults, Rule};

use crate::{Error, random, url};

/// How long to wait until nobody listens on a port that was closed.
const CLOSING_MS_MAX: usize = 1_000;

/// A proxy on 127.0.0.1 in front of a Postgres server, or of a [`PgBouncer`](crate::PgBouncer).
///
/// Until told otherwise it forwards everything. It reads along to count messages and to find statements, so it declines TLS
/// for the server: URLs with `sslmode=require` do not work. A connection to it succeeds also when the server is away; it is
/// closed then at once.
///
/// A connection that is cut is closed in an orderly way (FIN), as a server does that ends; one that is reset (RST) ends as
/// if the other machine had forgotten it. Programs are told of these by different errors, so both are faults worth trying.
/// Nothing here blocks for more than some milliseconds.
///
/// ```
/// # use factum_testkit::{Postgres, Proxy};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Postgres::shared()?.database().await?;
/// let proxy = Proxy::in_front_of(database.url())?;
/// // Connect whatever is tested to `proxy.url()`.
/// proxy.cut_after("COMMIT");
/// // The next commit happens, but the client cannot know.
/// # Ok(())
/// # }
/// ```
pub struct Proxy {
    url: String,
    port: u16,
    shared: Arc<Shared>,
    /// `None` while connections are refused.
    entrance: Mutex<Option<Entrance>>,
}

/// How many messages of the client were forwarded, of those kinds that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Statements as text, without parameters.
    pub queries: usize,
    /// Statements to be prepared.
    pub parses: usize,
    /// Parameters for prepared statements.
    pub binds: usize,
    /// Executions of prepared statements.
    pub executes: usize,
    /// Ends of a sequence of the three above, at which the client waits for the answers.
    pub syncs: usize,
}

/// What the threads of a proxy share.
struct Shared {
    /// Host and port of the server.
    server: (String, u16),
    faults: Faults,
    connections: Mutex<Vec<Arc<Connection>>>,
}

/// The thread that accepts connections.
struct Entrance {
    thread: JoinHandle<()>,
    is_closed: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy in front of the server of a URL.
    ///
    /// # Errors
    ///
    /// [`Error::NoAddress`] if the URL does not name a host, or [`Error::File`] if there is no port to listen on.
    pub fn in_front_of(url: &str) -> Result<Self, Error> {
        let target = url::target(url).ok_or(Error::NoAddress)?;
        let port = random::port()?;
        let shared = Arc::new(Shared {
            server: (target.host.to_owned(), target.port),
            faults: Faults::default(),
            connections: Mutex::default(),
        });
        let entrance = Mutex::new(Some(Entrance::open(port, &shared)?));
        Ok(Self { url: url::with_port(url, port), port, shared, entrance })
    }

    /// Where to connect: the URL of [`Proxy::in_front_of`], through the proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another URL of the same server, through the proxy.
    pub fn url_through(&self, url: &str) -> String {
        url::with_port(url, self.port)
    }

    /// Closes all connections, to the client and to the server. New ones are accepted.
    pub fn cut(&self) {
        self.end(Ending::Cut);
    }

    /// Resets all connections, to the client and to the server, as after the crash of a machine, or where a firewall ends
    /// them. New ones are accepted.
    ///
    /// What is being written to somebody who does not read is written first.
    pub fn reset(&self) {
        self.end(Ending::Reset);
    }

    /// Refuses new connections, as if the server were down. Those that are open stay.
    pub fn refuse(&self) {
        if let Some(entrance) = self.lock_entrance().take() {
            entrance.close(self.port);
        }
    }

    /// Forwards nothing, in neither direction, and not the end of a connection either: the network is gone, and nobody is
    /// told.
    ///
    /// What is sent meanwhile is lost. A connection that has lost something stays silent also after [`Proxy::heal`], until
    /// [`Proxy::cut`], as one does that a firewall has forgotten.
    pub fn silence(&self) {
        self.shared.faults.silence();
    }

    /// Forwards whatever comes, in each direction, later by at least `delay`.
    pub fn delay(&self, delay: Duration) {
        self.shared.faults.delay(delay);
    }

    /// When the next statement whose text contains `needle` is to be executed: cuts its connection instead of forwarding it.
    /// The server does not see it, and rolls back.
    ///
    /// A statement of the extended protocol counts when it is executed, and not when it is prepared. The rule fires once:
    /// the client that tries again gets through.
    pub fn cut_before(&self, needle: &str) {
        self.shared.faults.add(Rule::CutBefore(needle.to_owned()));
    }

    /// Forwards the next statement whose text contains `needle`, waits for the server's answer, and cuts the connection
    /// instead of forwarding that: it is done, and the client cannot know.
    ///
    /// Fires once, as [`Proxy::cut_before`].
    pub fn cut_after(&self, needle: &str) {
        self.shared.faults.add(Rule::CutAfter(needle.to_owned()));
    }

    /// As [`Proxy::cut_after`], and the connection is reset.
    pub fn reset_after(&self, needle: &str) {
        self.shared.faults.add(Rule::ResetAfter(needle.to_owned()));
    }

    /// Forwards the next statement whose text contains `needle`, and resets the connection at once: it is done or not, and
    /// nobody knows but the server, which learns of the reset while it works or when it answers.
    ///
    /// Fires once, as [`Proxy::cut_before`].
    pub fn reset_during(&self, needle: &str) {
        self.shared.faults.add(Rule::ResetDuring(needle.to_owned()));
    }

    /// Drops the answer to the `nth` round trip from now (1 is the next one), on whichever connection. The connection stays
    /// open, and its client waits.
    ///
    /// # Panics
    ///
    /// If `nth` is 0.
    pub fn swallow_answer(&self, nth: usize) {
        assert!(nth > 0, "the next round trip is the first");
        self.shared.faults.add(Rule::SwallowAnswer(nth));
    }

    /// How many of the rules that fire once have not fired yet.
    pub fn rules_waiting(&self) -> usize {
        self.shared.faults.rules_waiting()
    }

    /// Ends all faults: new connections are accepted, everything is forwarded at once, rules are forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if somebody else has taken the port while connections were refused.
    pub fn heal(&self) -> Result<(), Error> {
        self.shared.faults.heal();
        let mut entrance = self.lock_entrance();
        if entrance.is_none() {
            *entrance = Some(Entrance::open(self.port, &self.shared)?);
        }
        Ok(())
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.lock_connections().len()
    }

    /// What was forwarded to the server since the start, or since [`Proxy::reset_counts`].
    pub fn counts(&self) -> Counts {
        self.shared.faults.counts()
    }

    /// How often a client asked something and had to wait for the answer: queries and syncs.
    pub fn round_trips(&self) -> usize {
        let counts = self.counts();
        counts.queries + counts.syncs
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.shared.faults.reset_counts();
    }

    fn end(&self, how: Ending) {
        for connection in self.shared.open_connections() {
            connection.end(how);
        }
        self.shared.faults.wake();
    }

    fn lock_entrance(&self) -> MutexGuard<'_, Option<Entrance>> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse();
        self.cut();
    }
}

impl fmt::Debug for Proxy {
    /// Without the URL, which may hold a password worth keeping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Entrance {
    fn open(port: u16, shared: &Arc<Shared>) -> Result<Self, Error> {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .map_err(|source| Error::File { path: format!("127.0.0.1:{port}").into(), source })?;
        let (shared, is_closed) = (Arc::clone(shared), Arc::new(AtomicBool::new(false)));
        let is_closed_too = Arc::clone(&is_closed);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if is_closed_too.load(Ordering::SeqCst) {
                    break;
                }
                // An error is one of that connection: its client has left already.
                let Ok(client) = client else { continue };
                shared.serve(client);
            }
        });
        Ok(Self { thread, is_closed })
    }

    /// Returns when nobody listens any more.
    fn close(self, port: u16) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let woken = TcpStream::connect(("127.0.0.1", port));
        let _ = self.thread.join();
        drop(woken);
        // A process that this one is about to start has a copy of the socket for an instant, until it runs its program.
        for _ in 0..CLOSING_MS_MAX {
            if TcpStream::connect(("127.0.0.1", port)).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, client: TcpStream) {
        let connection = Arc::new(Connection::new(client));
        self.lock_connections().push(Arc::clone(&connection));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            connection.run(&shared);
            shared.lock_connections().retain(|other| !Arc::ptr_eq(other, &connection));
        });
    }

    fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((self.server.0.as_str(), self.server.1))
    }

    fn open_connections(&self) -> Vec<Arc<Connection>> {
        self.lock_connections().clone()
    }

    fn lock_connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
