//! Somebody who appends all the time what is to be counted.

use std::time::Duration;

use factum_core::store::Append;
use factum_core::{AppendError, Codec, Expected, Metadata, NewEvent, StreamId};
use tokio::time::{Instant, sleep_until};

use super::STREAMS;
use super::tally::{Counted, Tally};
use crate::dice::Dice;
use crate::life::{self, Life, Stop};

/// Appends so many events in a second, if the store can, until it is told to stop. What it is not told, it asks again.
pub(crate) async fn append<T: Tally>(address: &str, rate: u64, life: Life) -> anyhow::Result<()> {
    let mut stop = Stop::at_end_of_input();
    let mut dice = Dice::new(life.seed, &[6, life.nth]);
    let Some(store) = life::open::<T>(address, &mut dice, &mut stop).await? else { return Ok(()) };
    let mut appended = 0;
    let mut next = Instant::now();
    while !stop.is_told() {
        let count = 1 + dice.roll(5);
        let stream = StreamId::new("counted", &(1 + dice.roll(STREAMS)).to_string())?;
        let events = (0..count).map(|_| {
            let value = u32::try_from(dice.roll(1 << 20)).expect("below a million or so");
            NewEvent::encode(&Counted { value }, Codec::default(), Metadata::default())
        });
        let append = Append::to(stream, Expected::Any, events.collect::<Result<_, _>>()?);
        while let Err(error) = store.append(append.clone()).await {
            match error {
                AppendError::Store(error) if error.is_transient() => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                error => return Err(error.into()),
            }
        }
        appended += count;
        life::tell(&[appended]);
        // What could not be done in time is not made up for.
        next =
            Instant::now().max(next + Duration::from_secs(1) * u32::try_from(count)? / u32::try_from(rate)?);
        tokio::select! {
            () = sleep_until(next) => {}
            () = stop.told() => {}
        }
    }
    store.close().await;
    Ok(())
}
