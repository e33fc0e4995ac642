//! Purchases become commands: each line of the file is an order that its customer places and pays.
//!
//! Every command has an id made from the place of its line in the file and from what the line says. So a line that
//! was imported before changes nothing, and an import that was killed is simply started again; two equal lines stay
//! two purchases, and a line that was changed since is refused and not taken for the one it replaced.

use std::convert::Infallible;
use std::future::ready;
use std::io::{self, BufRead};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use factum::{CommandId, EventStore, ExecuteError, Position, RebuildError, SubscriptionError, Transactional};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::{mpsc, watch};

use crate::cdnow::{self, BadLine, Lines, Purchase};
use crate::domain::{CustomerId, Line, OrderError, OrderId, Pay, Place, Product, Register};
use crate::read::{ReadModel, SpendInUse};
use crate::shop::Shop;

/// How many purchases are under way at once: what is appended at the same time shares a commit.
const UNDER_WAY: usize = 512;

/// How an import is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Goes on after a line that cannot be imported.
    pub skip_bad: bool,
}

/// How far an import has come, or came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file whose lines are done.
    pub bytes: u64,
    /// Purchases that are in the store.
    pub purchases: u64,
    /// Those of them that were not in the store before.
    pub new: u64,
    /// Lines that could not be imported.
    pub bad: u64,
    /// How long it took, the projections included.
    pub elapsed: Duration,
}

/// Why an import ended early. Whatever was recorded stays recorded; a later import goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    File(#[from] io::Error),
    /// A line is no purchase. Nothing of it was recorded.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The shop refuses a purchase.
    #[error("line {line}: the order was refused")]
    Refused {
        /// The line.
        line: u64,
        /// Why.
        source: ExecuteError<OrderError>,
    },
    /// The shop refuses a customer.
    #[error("line {line}: the customer was refused")]
    Customer {
        /// The line.
        line: u64,
        /// Why.
        source: ExecuteError<Infallible>,
    },
    /// A projection or its store failed.
    #[error(transparent)]
    Projection(#[from] SubscriptionError),
    /// A projection could not be brought up to date.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl ImportError {
    /// Whether the line is at fault, and the next one may be fine.
    fn is_about_the_line(&self) -> bool {
        match self {
            Self::Line(_) => true,
            Self::Refused { source, .. } => {
                matches!(
                    source,
                    ExecuteError::Rejected(_) | ExecuteError::Invalid(_) | ExecuteError::Conflict(_)
                )
            }
            Self::Customer { source, .. } => matches!(source, ExecuteError::Invalid(_)),
            Self::File(_) | Self::Projection(_) | Self::Rebuild(_) => false,
        }
    }
}

/// Imports all purchases of `file`, while both projections follow. `report` hears of the progress, and of each line
/// that was skipped.
///
/// # Errors
///
/// [`ImportError`]. Lines that are under way when one fails are finished.
pub async fn import<S, R>(
    shop: &Shop<S, R>,
    file: impl BufRead + Send + 'static,
    options: Options,
    mut report: impl FnMut(&Progress, Option<&ImportError>),
) -> Result<Progress, ImportError>
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let begin = Instant::now();
    // What is recorded after this position is new.
    let head = shop.store.head().await.map_err(SubscriptionError::from)?;
    shop.rebuild().run(&SpendInUse(shop.read.clone())).await?;
    let (end, ended) = watch::channel(false);
    let projections = [shop.spend(), shop.revenue()].map(|subscription| {
        let mut ended = ended.clone();
        tokio::spawn(async move {
            subscription
                .run_until(async {
                    // The sender is dropped only when the import is, which is an end too.
                    let _ = ended.wait_for(|ended| *ended).await;
                })
                .await
        })
    });

    let imported = import_lines(shop, file, options, head, &mut report).await;
    end.send_replace(true);
    for projection in projections {
        match projection.await {
            Ok(outcome) => outcome?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
    }
    shop.catch_up().await?;
    Ok(Progress { elapsed: begin.elapsed(), ..imported? })
}

async fn import_lines<S, R>(
    shop: &Shop<S, R>,
    file: impl BufRead + Send + 'static,
    options: Options,
    head: Position,
    report: &mut impl FnMut(&Progress, Option<&ImportError>),
) -> Result<Progress, ImportError> {
    let mut progress = Progress::default();
    let mut failure = None;
    let has_failed = AtomicBool::new(false);
    let mut under_way = pin!(
        read_lines(file)
            .take_while(|_| ready(!has_failed.load(Ordering::Relaxed)))
            .map(|read| async move { (read.bytes, record_line(shop, read).await) })
            .buffer_unordered(UNDER_WAY)
    );
    while let Some((bytes, outcome)) = under_way.next().await {
        progress.bytes = progress.bytes.max(bytes);
        match outcome {
            Ok(position) => {
                progress.purchases += 1;
                progress.new += u64::from(position > head);
                report(&progress, None);
            }
            Err(error) if options.skip_bad && error.is_about_the_line() => {
                progress.bad += 1;
                report(&progress, Some(&error));
            }
            Err(error) => {
                has_failed.store(true, Ordering::Relaxed);
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(progress), Err)
}

/// A line of the file, as the thread that reads it passes it on.
struct Read {
    line: io::Result<cdnow::Line>,
    /// How many bytes of the file end with it.
    bytes: u64,
    /// Whether the line before it was about somebody else.
    is_new_customer: bool,
}

/// Reads the file in a thread of its own, no further ahead than can be under way.
fn read_lines(file: impl BufRead + Send + 'static) -> impl Stream<Item = Read> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::task::spawn_blocking(move || {
        let mut lines = Lines::new(file);
        let mut last_customer: Option<CustomerId> = None;
        while let Some(line) = lines.next_purchase().transpose() {
            let customer = line.as_ref().ok().and_then(|line| line.as_ref().ok()).map(|read| &read.customer);
            let is_new_customer = customer != last_customer.as_ref();
            last_customer = customer.cloned();
            let is_end = line.is_err();
            // Nobody listens any more when the import has ended early.
            if sender.blocking_send(Read { line, bytes: lines.bytes(), is_new_customer }).is_err() || is_end {
                break;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

/// Records what a line says, and returns the position of its last event.
async fn record_line<S, R>(shop: &Shop<S, R>, read: Read) -> Result<Position, ImportError> {
    let purchase = read.line??;
    let line = purchase.line;
    if read.is_new_customer {
        let register = Register { customer: purchase.customer.clone() };
        shop.customers
            .execute(&purchase.customer, register)
            .assume_new()
            .command_id(CommandId::from_key(&format!("cdnow register {}", purchase.customer)))
            .occurred_at(purchase.time())
            .await
            .map_err(|source| ImportError::Customer { line, source })?;
    }
    place_and_pay(shop, purchase).await.map_err(|source| ImportError::Refused { line, source })
}

async fn place_and_pay<S, R>(
    shop: &Shop<S, R>,
    purchase: Purchase,
) -> Result<Position, ExecuteError<OrderError>> {
    let Purchase { line, customer, date, cds, amount } = &purchase;
    let command_id =
        |verb| CommandId::from_key(&format!("cdnow {verb} {line}: {customer} {date} {cds} {amount}"));
    let lines = vec![Line { product: Product("CD".into()), quantity: *cds, total: *amount }];
    let id = OrderId(format!("cdnow-{line}"));
    let order = shop
        .orders
        .execute(&id, Place { customer: customer.clone(), lines })
        .assume_new()
        .command_id(command_id("place"))
        .occurred_at(purchase.time())
        .await?;
    let order = shop
        .orders
        .execute(&id, Pay { amount: *amount })
        .starting_from(order)
        .command_id(command_id("pay"))
        .occurred_at(purchase.time())
        .await?;
    Ok(order.position())
}
