//! A node: it counts what its share of the partitions has, exactly once, until it is told to stop.

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use factum_core::{
    Context, DecodeError, Envelope, EventHandler, HandleError, Interest, Partition, RecordedEvent, Retry,
    StoreError, Subscription, Token, Transactional as _,
};

use super::tally::{Counted, Sight, Tally};
use super::{LEASE, PARTITIONS, TALLY};
use crate::dice::Dice;
use crate::flaky::{Flaky, Odds, Open};
use crate::life::{self, Life, Stop};

/// The answer to one commit of so many is lost, and heartbeats are late by up to half a lease.
const ODDS: Odds = Odds { failure: None, unknown: Some(40), late_ms_max: Some(200) };
/// One event of so many fails in the handler, after its rows were written.
const FAILURE_ONCE_IN: u64 = 150;
/// After one event of so many the handler takes a while: time to be killed in.
const PAUSE_ONCE_IN: u64 = 12;

/// Whether rows and checkpoint are committed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    ExactlyOnce,
    /// The control: the same rows in transactions of their own, which a correct judge must object to.
    AtLeastOnce,
}

impl Care {
    pub(crate) fn of(at_least_once: bool) -> Self {
        if at_least_once { Self::AtLeastOnce } else { Self::ExactlyOnce }
    }
}

/// Counts until it is told to stop.
pub(crate) async fn count<T: Tally>(
    address: &str,
    number: u64,
    care: Care,
    life: Life,
) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let mut dice = Dice::new(life.seed, &[5, number, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    let flaky = Flaky::new(store.clone(), ODDS, Dice::new(dice.next(), &[1]));
    // Whatever fails is tried again until it does not: nothing that is done here fails for ever.
    let policy = Retry::times(100).waits(Duration::from_millis(5), Duration::from_millis(200)).then_stop();
    let chance = Mutex::new(Dice::new(dice.next(), &[2]));
    match care {
        Care::ExactlyOnce => {
            let counting = Counting::<T> { chance, store: PhantomData };
            let subscription = Subscription::transactional(TALLY, flaky, policy).handler(counting);
            let shared = subscription.shared(PARTITIONS).lease_for(LEASE).batch_events(20);
            shared.run_until(stop.told()).await?;
        }
        Care::AtLeastOnce => {
            let counting = CountingApart { chance, store: flaky.clone() };
            let subscription = Subscription::new(TALLY, flaky, policy).handler(counting);
            let shared = subscription.shared(PARTITIONS).lease_for(LEASE).batch_events(20);
            shared.run_until(stop.told()).await?;
        }
    }
    store.close().await;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it was to fail")]
    Chance,
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counts in the transaction that moves the checkpoint.
struct Counting<T> {
    chance: Mutex<Dice>,
    store: PhantomData<fn() -> T>,
}

impl<T: Tally> EventHandler<Open<T::Tx>> for Counting<T> {
    const NAME: &'static str = TALLY;
    const INTERESTS: &'static [Interest] = &[Interest::new::<Counted>(0)];
    type Error = Failure;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        cx: &mut Context<Open<T::Tx>>,
    ) -> Result<(), HandleError<Failure>> {
        let token = cx.token();
        count_one::<T>(&mut cx.tx().tx, event, token).await?;
        falter(&self.chance).await.map_err(HandleError::Handler)
    }
}

/// Counts in a transaction of its own.
struct CountingApart<T> {
    chance: Mutex<Dice>,
    store: Flaky<T>,
}

impl<T: Tally> EventHandler for CountingApart<T> {
    const NAME: &'static str = TALLY;
    const INTERESTS: &'static [Interest] = &[Interest::new::<Counted>(0)];
    type Error = Failure;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        cx: &mut Context,
    ) -> Result<(), HandleError<Failure>> {
        let failed = |error: StoreError| HandleError::Handler(error.into());
        let mut tx = self.store.begin().await.map_err(failed)?;
        count_one::<T>(&mut tx.tx, event, cx.token()).await?;
        self.store.commit(tx).await.map_err(failed)?;
        falter(&self.chance).await.map_err(HandleError::Handler)
    }
}

async fn count_one<T: Tally>(
    tx: &mut T::Tx,
    event: &RecordedEvent,
    token: Option<Token>,
) -> Result<(), HandleError<Failure>> {
    let unread: fn(DecodeError) -> _ = HandleError::Decode;
    let Envelope { stream, version, event: Counted { value }, .. } =
        Envelope::<Counted>::decode(event).map_err(unread)?;
    let mut partitions = Partition::all(TALLY, PARTITIONS);
    let partition = partitions.find(|partition| partition.has(&stream)).expect("each stream has one").index();
    let token = token.expect("nodes share the work");
    let sight = Sight { stream: &stream, version, value, partition, token };
    T::tally(tx, &sight).await.map_err(|error| HandleError::Handler(error.into()))
}

/// Takes a while, or fails, now and then.
async fn falter(chance: &Mutex<Dice>) -> Result<(), Failure> {
    let (pause, is_failure) = {
        let mut dice = chance.lock().unwrap_or_else(PoisonError::into_inner);
        (dice.once_in(PAUSE_ONCE_IN).then(|| dice.millis(1, 15)), dice.once_in(FAILURE_ONCE_IN))
    };
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
    if is_failure { Err(Failure::Chance) } else { Ok(()) }
}
