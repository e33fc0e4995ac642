//! Customers: they place orders, and pay for them, or do not.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use factum_core::{
    CommandId, Context, Envelope, EventHandler, ExecuteError, Handle, HandleError, Interest, RecordedEvent,
    Repository, Retry, Subscription,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::domain::{Order, Pay, Payment, PaymentIs, PaymentRequested, Place, Refuse, same_id};
use super::{LEASE, Mood, PARTITIONS, item_of};
use crate::dice::Dice;
use crate::life::{self, Life, Stop};
use crate::target::Target;

/// How many orders are placed, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Demand {
    /// How many orders are placed.
    #[arg(long)]
    pub(crate) orders: u64,
    /// How many in a second, if the store can.
    #[arg(long)]
    pub(crate) rate: u32,
}

/// Where it is noted how many orders were placed, now and then: whoever comes after a kill places some once more.
const PLACED: &str = "placed";
const NOTED_EACH: u64 = 20;

/// Places orders, and answers those who ask for payment, until it is told to stop.
pub(crate) async fn buy<T: Target>(address: &str, demand: Demand, life: Life) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let mut dice = Dice::new(life.seed, &[10, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    let policy = Retry::times(100).waits(Duration::from_millis(5), Duration::from_millis(200)).then_stop();
    let purses = Purses { payments: Repository::new(store.clone()), seed: life.seed };
    let paying = Subscription::new("customers", store.clone(), policy)
        .handler(purses)
        .shared(PARTITIONS)
        .lease_for(LEASE)
        .batch_events(10);
    let mut told = stop.clone();
    let paying = async { paying.run_until(told.told()).await.context("paying") };
    let placing = async { place(&store, demand, &life, stop.clone()).await.context("placing") };
    tokio::try_join!(paying, placing)?;
    store.close().await;
    Ok(())
}

async fn place<T: Target>(store: &T, demand: Demand, life: &Life, mut stop: Stop) -> anyhow::Result<()> {
    let orders = Repository::<Order>::new(store.clone());
    let path = life.folder.join(PLACED);
    let noted = fs::read_to_string(&path).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut next = Instant::now();
    for order in noted + 1..=demand.orders {
        let pay_within_ms = Mood::of(life.seed, order).pay_within_ms();
        let place = Place { item: item_of(order, demand.orders), pay_within_ms };
        give(&orders, order, "place", place).await?;
        if order.is_multiple_of(NOTED_EACH) {
            // Whole or not at all.
            let fresh = life.folder.join("placed.new");
            fs::write(&fresh, order.to_string())?;
            fs::rename(&fresh, &path)?;
        }
        life::tell(&[order]);
        next = Instant::now().max(next + Duration::from_secs(1) / demand.rate);
        tokio::select! {
            () = sleep_until(next) => {}
            () = stop.told() => return Ok(()),
        }
    }
    stop.told().await;
    Ok(())
}

/// Gives a command until its answer has come. However often that is, it has its effect once.
async fn give<A, C>(
    repository: &Repository<A>,
    id: u64,
    what: &str,
    command: C,
) -> Result<(), ExecuteError<A::Error>>
where
    A: Handle<C> + factum_core::Aggregate<Id = u64>,
    A::Error: Send,
    C: Clone + Send + Sync,
{
    let command_id = CommandId::from_key(&format!("{what} {id}"));
    loop {
        match repository.execute(&id, command.clone()).command_id(command_id).await {
            Ok(_) => return Ok(()),
            Err(ExecuteError::Conflict(_)) => {}
            Err(ExecuteError::Store(error)) if error.is_transient() => sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error),
        }
    }
}

/// Those who are asked to pay. What comes to their mind later is forgotten by a process that is killed.
struct Purses {
    payments: Repository<Payment>,
    seed: u64,
}

impl EventHandler for Purses {
    const NAME: &'static str = "customers";
    const INTERESTS: &'static [Interest] = &[Interest::new::<PaymentRequested>(0)];
    type Error = ExecuteError<PaymentIs>;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        _: &mut Context,
    ) -> Result<(), HandleError<Self::Error>> {
        let event = Envelope::<PaymentRequested>::decode(event).map_err(HandleError::Decode)?;
        let order = same_id(&event);
        let payments = self.payments.clone();
        match Mood::of(self.seed, order) {
            Mood::Forgets => Ok(()),
            Mood::Pays => {
                // Some customers press the button twice.
                for _ in 0..=order % 3 / 2 {
                    heard(give(&payments, order, "pay", Pay).await)?;
                }
                Ok(())
            }
            Mood::Refuses => heard(give(&payments, order, "refuse", Refuse).await),
            Mood::Hesitates => {
                let mut dice = Dice::new(self.seed, &[11, order]);
                let time = dice.millis(500, 1_600);
                tokio::spawn(async move {
                    sleep(time).await;
                    // Whoever is too late, or whose store is gone for good, does not pay.
                    let _ = give(&payments, order, "pay", Pay).await;
                });
                Ok(())
            }
        }
    }
}

/// To be told no is an answer: the payment was withdrawn.
fn heard(answer: Result<(), ExecuteError<PaymentIs>>) -> Result<(), HandleError<ExecuteError<PaymentIs>>> {
    match answer {
        Ok(()) | Err(ExecuteError::Rejected(_)) => Ok(()),
        Err(error) => Err(HandleError::Handler(error)),
    }
}
