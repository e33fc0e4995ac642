//! How long to wait before trying again what failed for a moment.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The waits between attempts: from 10 ms, twice as long each time and up to a second, each lengthened by chance so that
/// those who failed together do not come back together. They end when they have added up to `patience`; with none there is
/// no second attempt.
pub fn backoff(patience: Duration) -> impl Iterator<Item = Duration> + Send {
    let delays = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_secs(1))
        .with_total_delay(Some(patience))
        .without_max_times()
        .with_jitter()
        .build();
    delays.take_while(move |delay| *delay <= patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        assert_eq!(backoff(Duration::ZERO).count(), 0);
        let waits: Vec<_> = backoff(Duration::from_secs(10)).collect();
        assert!(waits[0] < Duration::from_millis(25), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(2)), "{waits:?}");
        let sum: Duration = waits.iter().sum();
        assert!(sum > Duration::from_secs(5) && sum < Duration::from_secs(13), "{waits:?}");
    }
}
