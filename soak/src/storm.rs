//! Nodes that are killed, made to stand still beyond their lease, and left without their server, one after the other.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use crate::crew::{Crew, Part};
use crate::dice::Dice;
use crate::fault::Postgres;
use crate::flaky::Trace;
use crate::signal::{Signal, signal};

/// How long a process that was begun may take to do something, before it is killed all the same.
const WORK_WITHIN: Duration = Duration::from_secs(5);

/// How long a transaction is waited for, to strike in the midst of it.
const AIM_MAX: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// A node is killed that has worked, and another begins in its place.
    Kill,
    /// Another process of the run is killed, and begins again.
    KillOther,
    /// A node stands still for longer than its lease.
    Pause,
    /// The server is killed, and started again.
    Restart,
    /// The answer to a commit is lost on its way from the server, or the connection is reset while it commits.
    LoseAnswer,
}

/// In so many blows each kind comes as often as this, in some order.
const ROUND: [(Blow, usize); 5] =
    [(Blow::Kill, 12), (Blow::KillOther, 1), (Blow::Pause, 3), (Blow::Restart, 1), (Blow::LoseAnswer, 2)];

/// What was done so far.
#[derive(Clone, Debug)]
pub(crate) struct Done<R> {
    /// The lives of nodes that were ended after they had begun to work.
    pub(crate) kills: Vec<(R, u64)>,
    /// Kills of nodes that had done nothing yet.
    pub(crate) missed: usize,
    pub(crate) others: usize,
    pub(crate) pauses: usize,
    pub(crate) restarts: usize,
    pub(crate) answers_lost: usize,
}

pub(crate) struct Storm<'a, R> {
    pub(crate) crew: Crew<R>,
    pub(crate) done: Done<R>,
    postgres: Option<&'a Postgres>,
    /// Whether it works under a lease.
    is_node: fn(R) -> bool,
    lease: Duration,
    /// Who stands still, and until when.
    paused: Option<(R, u32, Instant)>,
    round: Vec<Blow>,
    dice: Dice,
}

impl<R> Default for Done<R> {
    fn default() -> Self {
        let (kills, missed, others, pauses, restarts, answers_lost) = Default::default();
        Self { kills, missed, others, pauses, restarts, answers_lost }
    }
}

impl<'a, R: Part> Storm<'a, R> {
    pub(crate) fn new(
        crew: Crew<R>,
        postgres: Option<&'a Postgres>,
        is_node: fn(R) -> bool,
        lease: Duration,
        dice: Dice,
    ) -> Self {
        let (done, paused, round) = Default::default();
        Self { crew, done, postgres, is_node, lease, paused, round, dice }
    }

    /// The next blow. Says who has ended by itself, if anybody has.
    pub(crate) fn strike(&mut self) -> anyhow::Result<Option<String>> {
        if self.round.is_empty() {
            let all: Vec<_> =
                ROUND.into_iter().flat_map(|(blow, times)| std::iter::repeat_n(blow, times)).collect();
            self.round = self.dice.shuffled(&all);
        }
        let blow = self.round.pop().expect("it was just filled");
        match (blow, self.postgres) {
            (Blow::Kill, _) => return self.kill(),
            (Blow::KillOther, _) => self.kill_other()?,
            (Blow::Pause, _) => self.pause()?,
            (Blow::Restart, Some(postgres)) => {
                postgres.server.kill()?;
                let time = self.dice.millis(0, 300);
                self.rest(time)?;
                postgres.server.start_again()?;
                self.done.restarts += 1;
            }
            (Blow::LoseAnswer, Some(postgres)) => self.lose_answer(postgres)?,
            (Blow::Restart | Blow::LoseAnswer, None) => {}
        }
        self.crew.look()
    }

    /// Nobody stands still any more.
    pub(crate) fn calm(&mut self) -> anyhow::Result<()> {
        if let Some((_, pid, _)) = self.paused.take() {
            signal(Signal::Continue, pid)?;
        }
        Ok(())
    }

    /// What came of all transactions of nodes; and how many of their kills came in the midst of one.
    pub(crate) fn trace(&self) -> (Trace, usize) {
        let said = self.crew.said();
        let of_nodes = said.iter().filter(|((role, _), _)| (self.is_node)(*role));
        let trace = of_nodes.fold(Trace::default(), |sum, (_, numbers)| sum.and(Trace::of(numbers)));
        let was_open = |life: &&(R, u64)| said.get(life).is_some_and(|numbers| Trace::of(numbers).open > 0);
        (trace, self.done.kills.iter().filter(was_open).count())
    }

    /// Lets time go by, and whoever has stood still for long enough go on.
    pub(crate) fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + time;
        loop {
            let now = Instant::now();
            if self.paused.is_some_and(|(_, _, until)| now >= until) {
                self.calm()?;
            }
            if now >= deadline {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5).min(deadline - now));
        }
    }

    /// Says who has ended by itself before, if anybody has.
    fn kill(&mut self) -> anyhow::Result<Option<String>> {
        let (is_node, paused) = (self.is_node, self.paused.map(|(role, _, _)| role));
        let node = self.crew.any(|role| is_node(role) && Some(role) != paused, &mut self.dice);
        let deadline = Instant::now() + WORK_WITHIN;
        while !self.has_worked(node) && Instant::now() < deadline {
            self.rest(Duration::from_millis(5))?;
        }
        self.aim(node)?;
        if let Some(said) = self.crew.look()? {
            return Ok(Some(said));
        }
        let has_worked = self.has_worked(node);
        let life = self.crew.replace(node)?;
        if has_worked {
            self.done.kills.push((node, life));
        } else {
            self.done.missed += 1;
        }
        Ok(None)
    }

    fn has_worked(&self, node: R) -> bool {
        Trace::of(&self.crew.said_by(node)).begun > 0
    }

    /// Waits for some random time, and every other time for a transaction to be in the midst of.
    fn aim(&mut self, node: R) -> anyhow::Result<()> {
        let time = self.dice.millis(0, 200);
        self.rest(time)?;
        let deadline = Instant::now() + if self.dice.once_in(2) { AIM_MAX } else { Duration::ZERO };
        while Trace::of(&self.crew.said_by(node)).open == 0 && Instant::now() < deadline {
            self.rest(Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn kill_other(&mut self) -> anyhow::Result<()> {
        let is_node = self.is_node;
        if self.crew.has(|role| !is_node(role)) {
            self.crew.replace_any(|role| !is_node(role), &mut self.dice)?;
            self.done.others += 1;
        }
        Ok(())
    }

    /// Returns while it stands still, so that others are killed meanwhile.
    fn pause(&mut self) -> anyhow::Result<()> {
        while self.paused.is_some() {
            self.rest(Duration::from_millis(5))?;
        }
        let node = self.crew.any(self.is_node, &mut self.dice);
        // In the midst of a transaction, or between two: where there is one writer at a time, whoever stands still with a
        // transaction holds up everybody, and nobody takes over.
        let is_between = self.dice.once_in(2);
        let deadline = Instant::now() + AIM_MAX;
        while (Trace::of(&self.crew.said_by(node)).open == 0) != is_between && Instant::now() < deadline {
            self.rest(Duration::from_millis(1))?;
        }
        let (pid, _) = self.crew.pid_of(node)?;
        signal(Signal::Stop, pid)?;
        let leases = u32::try_from(self.dice.roll(20)).expect("below twenty");
        self.paused = Some((node, pid, Instant::now() + self.lease * (13 + leases) / 10));
        self.done.pauses += 1;
        Ok(())
    }

    fn lose_answer(&mut self, postgres: &Postgres) -> anyhow::Result<()> {
        let proxy = &postgres.proxy;
        match self.dice.roll(3) {
            0 => proxy.cut_after("COMMIT"),
            1 => proxy.reset_after("COMMIT"),
            _ => proxy.reset_during("COMMIT"),
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        while proxy.rules_waiting() > 0 {
            if Instant::now() > deadline {
                // Nobody has met it.
                proxy.heal()?;
                return Ok(());
            }
            self.rest(Duration::from_millis(5))?;
        }
        self.done.answers_lost += 1;
        Ok(())
    }
}

impl<R> fmt::Display for Done<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, missed, others, pauses, restarts, answers_lost } = self;
        let hit = kills.len();
        write!(
            f,
            "{hit} kills of nodes at work and {missed} of others that had not begun, {others} of clients, "
        )?;
        write!(
            f,
            "{pauses} pauses, {restarts} restarts of the server, {answers_lost} answers lost on the way"
        )
    }
}
