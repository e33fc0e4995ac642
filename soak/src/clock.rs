//! One clock for all processes of a run.

use std::time::Instant;

use anyhow::Context as _;

/// The machine's monotonic clock: the same in all processes, and never set.
///
/// The system clock at the start of a process would not do as a base: it is slewed by up to half a millisecond each
/// second, so processes that began apart would disagree, and a sound store would be accused. The standard library
/// tells what the monotonic clock shows only in the `Debug` of an [`Instant`], so it is read from there, once for each
/// process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// What the clock showed when this began, in nanoseconds.
    showed: u64,
}

impl Clock {
    pub(crate) fn of_machine() -> anyhow::Result<Self> {
        let began = Instant::now();
        let text = format!("{began:?}");
        let showed = shown(&text).with_context(|| format!("no clock for all processes: {text}"))?;
        Ok(Self { began, showed })
    }

    pub(crate) fn nanoseconds(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos()).expect("a run is over within 584 years");
        self.showed + since
    }
}

/// The nanoseconds in `Instant { tv_sec: 1, tv_nsec: 2 }`.
fn shown(text: &str) -> Option<u64> {
    let number = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    number("tv_sec: ")?.checked_mul(1_000_000_000)?.checked_add(number("tv_nsec: ")?)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_that_began_apart_agree() {
        let first = Clock::of_machine().unwrap();
        thread::sleep(Duration::from_millis(20));
        let second = Clock::of_machine().unwrap();

        for _ in 0..1000 {
            let (before, between, after) = (first.nanoseconds(), second.nanoseconds(), first.nanoseconds());
            assert!(before <= between && between <= after, "{before} {between} {after}");
        }
    }

    #[test]
    fn what_is_no_clock_is_none() {
        assert_eq!(shown("Instant { tv_sec: 2, tv_nsec: 30 }"), Some(2_000_000_030));
        assert_eq!(shown("Instant(12 s)"), None);
    }
}
