//! How often processes were killed, and how often they are to be.

use std::fmt;
use std::time::Duration;

use crate::fault::Fault;
use crate::target::Kind;

/// How often processes were killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kills {
    pub(crate) server: usize,
    pub(crate) workers: usize,
    pub(crate) subscribers: usize,
}

/// How often they are to be killed, and in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    asked: usize,
    time: Duration,
}

impl Kills {
    pub(crate) fn count(&mut self, fault: Fault) {
        match fault {
            Fault::ServerKilled => self.server += 1,
            Fault::WorkerKilled => self.workers += 1,
            Fault::SubscriberKilled => self.subscribers += 1,
            _ => {}
        }
    }

    pub(crate) fn clients(self) -> usize {
        self.workers + self.subscribers
    }

    /// Of those that this fault is one of.
    pub(crate) fn like(self, fault: Fault) -> usize {
        if fault == Fault::ServerKilled { self.server } else { self.clients() }
    }

    /// Whether the server, where there is one, was killed as often, and so were clients.
    pub(crate) fn reach(self, asked: usize, kind: Kind) -> bool {
        self.clients() >= asked && (kind == Kind::Sqlite || self.server >= asked)
    }
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, workers, subscribers } = self;
        write!(f, "{server} of the server, {workers} of workers, {subscribers} of subscribers")
    }
}

impl Pace {
    /// A server takes a second or two to be killed, started and looked at, and something else is to break in between.
    const EACH: Duration = Duration::from_secs(4);

    /// So many, in this time or in what it takes.
    pub(crate) fn new(asked: usize, time: Duration) -> Self {
        let each = u32::try_from(asked).map_or(Duration::MAX, |asked| Self::EACH.saturating_mul(asked));
        Self { asked, time: time.max(each) }
    }

    pub(crate) fn time(self) -> Duration {
        self.time
    }

    /// How many are due after so long.
    pub(crate) fn due(self, elapsed: Duration) -> usize {
        if elapsed >= self.time {
            return self.asked;
        }
        // One more than have had their time, or the last would come when the time is over.
        let share = elapsed.as_millis() * self.asked as u128 / self.time.as_millis().max(1);
        usize::try_from(share).map_or(self.asked, |share| (share + 1).min(self.asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_due_one_after_the_other_and_all_before_the_time_is_over() {
        let pace = Pace::new(3, Duration::from_mins(1));
        let due = |seconds| pace.due(Duration::from_secs(seconds));
        assert_eq!([0, 19, 20, 40, 59, 60, 600].map(due), [1, 1, 2, 3, 3, 3, 3]);
        assert_eq!(Pace::new(0, Duration::from_mins(1)).due(Duration::from_secs(30)), 0);
    }

    #[test]
    fn many_kills_take_the_time_they_need() {
        assert_eq!(Pace::new(50, Duration::from_secs(20)).time(), Duration::from_secs(200));
        assert_eq!(Pace::new(50, Duration::from_mins(15)).time(), Duration::from_mins(15));
    }

    #[test]
    fn one_kill_too_few_of_either_is_too_few() {
        let kills = Kills { server: 5, workers: 3, subscribers: 2 };
        assert!(kills.reach(5, Kind::Postgres));
        assert!(!Kills { server: 4, ..kills }.reach(5, Kind::Postgres));
        assert!(!Kills { subscribers: 1, ..kills }.reach(5, Kind::Postgres));
        assert!(Kills { server: 0, ..kills }.reach(5, Kind::Sqlite));
        assert!(!Kills { workers: 2, ..kills }.reach(5, Kind::Sqlite));
    }
}
