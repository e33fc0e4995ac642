//! Mails to customers, at least once: their order was placed, shipped, or cancelled.
//!
//! A mail is named after the event it tells of. One that is written twice, because the program was killed in between, is the
//! same file in a folder, and has the same `Message-ID` for those who read it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use factum::{Context, Envelope, EventHandler, LoadError, On, Repository};
use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use uuid::Uuid;

use crate::domain::{DeliveryRequested, Line, Order, OrderCancelled, OrderId, OrderShipped};

/// How long a mail server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Writes to customers. What an order says of its delivery has the address; those that were imported have none, and nobody is
/// written to.
#[derive(EventHandler, Debug)]
#[handler(
    name = "mails",
    error = MailError,
    on(DeliveryRequested),
    on(OrderShipped),
    on(OrderCancelled)
)]
pub struct Mails {
    /// The orders the mails are about.
    pub orders: Repository<Order>,
    /// Who takes the mails.
    pub post: Post,
    /// Who they are from.
    pub sender: Mailbox,
}

/// Why a mail could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The order cannot be read.
    #[error("the order cannot be read")]
    Order(#[from] LoadError),
    /// The customer's address is none.
    #[error("the customer's address is none")]
    Address(#[from] AddressError),
    /// It cannot be written as a mail.
    #[error("the mail cannot be composed")]
    Compose(#[from] lettre::error::Error),
    /// The folder does not take it.
    #[error("the folder does not take the mail")]
    Folder(#[from] io::Error),
    /// The server does not take it.
    #[error("the mail server does not take the mail")]
    Server(#[from] smtp::Error),
}

impl On<DeliveryRequested> for Mails {
    async fn on(&self, event: &Envelope<DeliveryRequested>, _: &mut Context) -> Result<(), MailError> {
        self.write(event, "we have your order", |order| {
            let lines: String = order.lines().iter().map(item).collect();
            format!("Thank you for your order:\n\n{lines}\nTogether: {}\n", order.total())
        })
        .await
    }
}

impl On<OrderShipped> for Mails {
    async fn on(&self, event: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), MailError> {
        let parcel = &event.event.parcel;
        self.write(event, "your order is on its way", |_| format!("It is in parcel {parcel}.\n")).await
    }
}

impl On<OrderCancelled> for Mails {
    async fn on(&self, event: &Envelope<OrderCancelled>, _: &mut Context) -> Result<(), MailError> {
        let OrderCancelled { refund, reason, .. } = &event.event;
        self.write(event, "your order was cancelled", |_| {
            format!("It was cancelled: {reason}.\nWe have paid back {refund}.\n")
        })
        .await
    }
}

fn item(Line { product, quantity, total }: &Line) -> String {
    format!("{quantity:>5} x {product}: {total}\n")
}

impl Mails {
    /// Writes to the customer whose order the event is about, as the order was then.
    async fn write<E: Sync>(
        &self,
        event: &Envelope<E>,
        subject: &str,
        body: impl FnOnce(&Order) -> String + Send,
    ) -> Result<(), MailError> {
        let id = OrderId(event.stream.id().to_owned());
        let order = self.orders.load_at(&id, event.version).await?;
        let Some(delivery) = order.delivery() else { return Ok(()) };
        let address: Address = delivery.email.parse()?;
        let mail = Message::builder()
            .from(self.sender.clone())
            .to(address.into())
            .subject(format!("Order {id}: {subject}"))
            // Nothing in it depends on when it is written, so it is the same whenever it is.
            .date(event.occurred_at().into())
            .message_id(Some(format!("<{}@{}>", event.id.0, self.sender.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(body(&order))?;
        self.post.take(event.id.0, mail).await
    }
}

/// A text that is no address of a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mail server is named as smtp://host:port")]
pub struct InvalidServer;

/// Who takes mails.
#[derive(Clone, Debug)]
pub enum Post {
    /// A folder, in which each is a file: `.eml`, which mail programs open.
    Folder(PathBuf),
    /// A mail server.
    Server(AsyncSmtpTransport<Tokio1Executor>),
}

impl Post {
    /// A folder, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn folder(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        Ok(Self::Folder(path))
    }

    /// The mail server at `smtp://host:port`; port 25 where none is named. It is meant for a relay nearby: the connection is not
    /// encrypted, so nobody logs in.
    ///
    /// # Errors
    ///
    /// If that is no such address.
    pub fn server(url: &str) -> Result<Self, InvalidServer> {
        let address = url.strip_prefix("smtp://").ok_or(InvalidServer)?;
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| InvalidServer)?),
            None => (address, smtp::SMTP_PORT),
        };
        if host.is_empty() || host.contains(['/', '@']) {
            return Err(InvalidServer);
        }
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host);
        Ok(Self::Server(server.port(port).timeout(Some(ANSWER_WITHIN)).build()))
    }

    async fn take(&self, id: Uuid, mail: Message) -> Result<(), MailError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                let written = tokio::task::spawn_blocking(move || write(&folder, id, &mail.formatted()));
                Ok(written.await.map_err(io::Error::other)??)
            }
            Self::Server(server) => {
                server.send(mail).await?;
                Ok(())
            }
        }
    }
}

/// Writes a file that is there whole or not at all, and stays when the power fails.
fn write(folder: &Path, id: Uuid, mail: &[u8]) -> io::Result<()> {
    // Two processes may write the same mail at the same time.
    let unfinished = folder.join(format!(".{id}.{}.part", Uuid::now_v7()));
    let written = File::create_new(&unfinished).and_then(|mut file| {
        file.write_all(mail)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(format!("{id}.eml")))
    });
    if written.is_err() {
        // The error is the one that counts. What is left begins with a dot, and nobody takes it for a mail.
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use factum::events;
    use factum::memory::MemoryStore;
    use factum::{Expected, Metadata, NewEvent, OnFailure, Subscription};

    use super::*;
    use crate::domain::{Cents, CustomerId, OrderEvent, OrderPlaced, Product};

    fn placed() -> OrderPlaced {
        let line = Line { product: Product("Kind of Blue".into()), quantity: 2, total: Cents(2354) };
        OrderPlaced { customer: CustomerId("ada".into()), lines: vec![line] }
    }

    fn requested(email: &str) -> DeliveryRequested {
        DeliveryRequested { lines: placed().lines, email: email.into(), pay_within_ms: 60_000 }
    }

    fn shipped() -> OrderShipped {
        OrderShipped { parcel: "P-1".into() }
    }

    fn cancelled() -> OrderCancelled {
        let (customer, reason) = (CustomerId("ada".into()), "it was not paid in time".into());
        OrderCancelled { customer, quantity: 2, refund: Cents(0), reason }
    }

    /// A store in which this has happened to order 1.
    async fn store(events: factum::Events<OrderEvent>) -> MemoryStore {
        use factum::store::Append;

        let store = MemoryStore::new();
        let events = events
            .iter()
            .map(|event| NewEvent::encode(event, factum::Codec::Json, Metadata::default()).expect("JSON"));
        let stream = "order/1".parse().expect("a stream");
        factum::EventStore::append(&store, Append::to(stream, Expected::NoStream, events.collect()))
            .await
            .expect("they are new");
        store
    }

    fn subscription(store: &MemoryStore, name: &str, post: Post) -> Subscription {
        let sender = "The shop <shop@example.com>".parse().expect("an address");
        let mails = Mails { orders: Repository::new(store.clone()), post, sender };
        Subscription::new(name, store.clone(), OnFailure::stop()).handler(mails)
    }

    fn mails_in(folder: &Path) -> Vec<String> {
        let files =
            fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("a file").path());
        let mut mails: Vec<_> = files.map(|file| fs::read_to_string(file).expect("text")).collect();
        mails.sort();
        mails
    }

    #[tokio::test]
    async fn a_customer_is_told_what_becomes_of_an_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = || events![placed(), requested("ada@example.com")];
        for events in [begin().and(shipped()), begin().and(cancelled())] {
            let store = store(events).await;
            let post = Post::folder(folder.path()).expect("it can be made");
            subscription(&store, "mails", post).catch_up().await.expect("they are written");
        }
        let mails = mails_in(folder.path()).join("\n");
        assert_eq!(mails.matches("To: ada@example.com").count(), 4, "{mails}");
        assert_eq!(mails.matches("Subject: Order 1: we have your order").count(), 2, "{mails}");
        assert!(mails.contains("2 x Kind of Blue: 23.54"), "{mails}");
        assert!(mails.contains("It is in parcel P-1."), "{mails}");
        assert!(
            mails.contains("It was cancelled: it was not paid in time.\r\nWe have paid back 0.00."),
            "{mails}"
        );
    }

    #[tokio::test]
    async fn a_mail_that_is_written_twice_is_the_same_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(events![placed(), requested("ada@example.com"), shipped()]).await;
        let post = Post::folder(folder.path()).expect("it can be made");
        subscription(&store, "mails", post.clone()).catch_up().await.expect("they are written");
        let once = mails_in(folder.path());
        assert_eq!(once.len(), 2);
        subscription(&store, "mails again", post).catch_up().await.expect("they are written");
        assert_eq!(mails_in(folder.path()), once);
    }

    #[tokio::test]
    async fn nobody_is_written_to_about_an_imported_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(events![placed(), shipped()]).await;
        let post = Post::folder(folder.path()).expect("it can be made");
        subscription(&store, "mails", post).catch_up().await.expect("there is nothing to write");
        assert_eq!(mails_in(folder.path()), <[String; 0]>::default());
    }

    #[tokio::test]
    async fn a_mail_that_cannot_be_written_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(events![placed(), requested("ada@example.com")]).await;
        let gone = Post::Folder(folder.path().join("gone"));
        let error = subscription(&store, "mails", gone).catch_up().await.expect_err("there is no folder");
        assert!(error.to_string().contains("mails"), "{error}");
        assert_eq!(mails_in(folder.path()), <[String; 0]>::default());
    }

    /// A mail server that takes one mail, and returns what it was told.
    fn takes_one(listener: &std::net::TcpListener) -> String {
        use std::io::{BufRead, BufReader};

        let (stream, _) = listener.accept().expect("somebody comes");
        let mut out = stream.try_clone().expect("a socket");
        let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes()).expect("they listen");
        say("220 ready");
        let (mut told, mut is_mail) = (String::new(), false);
        for line in BufReader::new(stream).lines() {
            let line = line.expect("text");
            told.push_str(&line);
            told.push('\n');
            match (line.as_str(), is_mail) {
                (".", true) => {
                    is_mail = false;
                    say("250 taken");
                }
                (_, true) => {}
                ("DATA", false) => {
                    is_mail = true;
                    say("354 go on");
                }
                ("QUIT", false) => {
                    say("221 bye");
                    break;
                }
                _ => say("250 ok"),
            }
        }
        told
    }

    #[tokio::test]
    async fn a_mail_server_is_told_the_same() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("bound"));
        let server = tokio::task::spawn_blocking(move || takes_one(&listener));
        let store = store(events![placed(), requested("ada@example.com")]).await;
        let post = Post::server(&url).expect("an address");
        subscription(&store, "mails", post).catch_up().await.expect("it is taken");
        let told = server.await.expect("no panic");
        assert!(told.contains("RCPT TO:<ada@example.com>"), "{told}");
        assert!(told.contains("2 x Kind of Blue: 23.54"), "{told}");
        assert!(told.contains("Message-ID: <"), "{told}");
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_spoken_to_is_refused_at_once() {
        let wrong =
            ["smtps://example.com", "example.com", "smtp://", "smtp://a:b", "smtp://ada:word@example.com"];
        for url in wrong {
            assert_eq!(Post::server(url).err(), Some(InvalidServer), "{url}");
        }
        assert!(Post::server("smtp://example.com").is_ok());
    }
}
