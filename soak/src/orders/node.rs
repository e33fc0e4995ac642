//! A node: it runs its share of the processes until it is told to stop.

use std::time::Duration;

use factum_core::{Process, Retry};

use super::domain::Fulfilment;
use super::{LEASE, PARTITIONS};
use crate::dice::Dice;
use crate::flaky::{Flaky, Odds};
use crate::life::{self, Life, Stop};
use crate::target::Target;

/// In one call of so many a step fails, one commit of so many has an unknown outcome, and heartbeats are late by up to a
/// third of a lease.
const ODDS: Odds = Odds { failure: Some(150), unknown: Some(100), late_ms_max: Some(260) };

pub(crate) async fn fulfil<T: Target>(address: &str, number: u64, life: Life) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let mut dice = Dice::new(life.seed, &[9, number, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    let flaky = Flaky::new(store.clone(), ODDS, dice);
    // Whatever fails is tried again until it does not: nothing that is done here fails for ever.
    let policy = Retry::times(100).waits(Duration::from_millis(5), Duration::from_millis(200)).then_stop();
    let process = Process::<Fulfilment, _>::new(flaky, policy).shared(PARTITIONS).lease_for(LEASE);
    process.run_until(stop.told()).await?;
    store.close().await;
    Ok(())
}
