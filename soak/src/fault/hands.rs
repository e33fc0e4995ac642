//! Hands that break things, at moments and in an order that a seed decides.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use factum_testkit::{OwnServer, Proxy};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;

use super::Fault;
use crate::clock::Clock;
use crate::crew::Crew;
use crate::dice::Dice;
use crate::kills::{Kills, Pace};
use crate::note::{Note, Notebook};
use crate::roles::Role;
use crate::signal::{Signal, signal};

/// A server of the run's own, and the network in front of it.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) server: OwnServer,
    pub(crate) proxy: Proxy,
}

/// The other database of the server.
const ELSEWHERE: &str = "elsewhere";

/// Parts of the statements that commit: an append, several, and what a client has in a transaction.
const COMMITS: [&str; 3] = ["factum_append(", "factum_append_group(", "COMMIT"];

impl Postgres {
    pub(crate) fn start(runtime: &Handle) -> anyhow::Result<Self> {
        let server = OwnServer::start()?;
        let proxy = Proxy::in_front_of(server.url())?;
        runtime.block_on(async {
            let mut connection = PgConnection::connect(server.url()).await?;
            sqlx::raw_sql("CREATE DATABASE elsewhere").execute(&mut connection).await?;
            connection.close().await
        })?;
        Ok(Self { server, proxy })
    }

    /// Ends all that is wrong.
    pub(crate) fn heal(&self) -> anyhow::Result<()> {
        self.server.start_again()?;
        self.proxy.heal()?;
        // What has lost something would stay silent for ever.
        self.proxy.cut();
        Ok(())
    }
}

/// Whether everything is there that was acknowledged until now: how many events those are, or what is wrong.
pub(crate) type Look<'a> = &'a (dyn Fn() -> anyhow::Result<Result<usize, String>> + Sync);

/// What breaks a run.
pub(crate) struct Hands<'a> {
    pub(crate) crew: &'a Mutex<Crew<Role>>,
    pub(crate) postgres: Option<&'a Postgres>,
    pub(crate) runtime: &'a Handle,
    pub(crate) notes: Mutex<Notebook>,
    pub(crate) clock: Clock,
    pub(crate) count: AtomicUsize,
    pub(crate) kills: Mutex<Kills>,
    pub(crate) pace: Pace,
    pub(crate) begun: Instant,
    pub(crate) look: Look<'a>,
    pub(crate) is_over: AtomicBool,
    /// How long it is between two faults at most.
    pub(crate) rest: Duration,
}

impl Hands<'_> {
    /// Breaks one of these after the other, all of them as often, until it is over; with more kills in between, as far as
    /// there were too few. Says what is lost after a kill, if anything is: then it is over as well.
    pub(crate) fn break_in_turn(&self, faults: &[Fault], mut dice: Dice) -> anyhow::Result<Option<String>> {
        let rest = u64::try_from(self.rest.as_millis())?;
        let (mut round, mut is_extra) = (Vec::new(), false);
        loop {
            self.sleep(dice.millis(rest / 10, rest));
            if self.is_over() {
                return Ok(None);
            }
            // Not two in a row while there is time for something else.
            let may_be_extra = !is_extra || self.begun.elapsed() >= self.pace.time();
            let extra = self.overdue(faults, &mut dice).filter(|_| may_be_extra);
            is_extra = extra.is_some();
            let fault = extra.or_else(|| {
                if round.is_empty() {
                    round = dice.shuffled(faults);
                }
                round.pop()
            });
            let Some(fault) = fault else { return Ok(None) };
            if let Some(whom) = self.commit(fault, &mut dice)? {
                self.note(Note::Fault { at: self.clock.nanoseconds(), kind: fault.name().to_owned(), whom })?;
                self.count.fetch_add(1, Ordering::Relaxed);
                self.kills.lock().unwrap_or_else(PoisonError::into_inner).count(fault);
                // Where there is no server, what its processes leave behind is what a crash leaves.
                let is_crash =
                    if self.postgres.is_some() { Fault::ServerKilled } else { Fault::WorkerKilled };
                if fault == is_crash {
                    match (self.look)()? {
                        Ok(events) => self.note(Note::Looked { at: self.clock.nanoseconds(), events })?,
                        Err(lost) => {
                            return Ok(Some(format!("after kills, {}: {lost}", self.kills())));
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn kills(&self) -> Kills {
        *self.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of these that kill, if there were fewer of them than are due.
    fn overdue(&self, faults: &[Fault], dice: &mut Dice) -> Option<Fault> {
        let kills: Vec<_> = faults.iter().copied().filter(|fault| fault.is_kill()).collect();
        let done = kills.first().map(|fault| self.kills().like(*fault))?;
        (done < self.pace.due(self.begun.elapsed())).then(|| *dice.pick(&kills))
    }

    pub(crate) fn note(&self, note: Note) -> anyhow::Result<()> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).write([note])
    }

    /// Does one, and says to whom, if it came to that.
    fn commit(&self, fault: Fault, dice: &mut Dice) -> anyhow::Result<Option<String>> {
        let whom = match (fault, self.postgres) {
            (Fault::WorkerKilled, _) => self.kill(|role| matches!(role, Role::Worker(_)), dice)?,
            (Fault::SubscriberKilled, _) => self.kill(|role| matches!(role, Role::Subscriber(_)), dice)?,
            (Fault::WorkerPaused, _) => {
                let (pid, name) = self
                    .with_crew(|crew| crew.pid_of(crew.any(|role| matches!(role, Role::Worker(_)), dice)))?;
                signal(Signal::Stop, pid)?;
                self.sleep(dice.millis(100, 1500));
                signal(Signal::Continue, pid)?;
                name
            }
            (Fault::StrangerHere, Some(postgres)) => self.let_idle(postgres.server.url().to_owned(), dice),
            (Fault::StrangerElsewhere, Some(postgres)) => {
                self.let_idle(postgres.server.url_of(ELSEWHERE), dice)
            }
            (_, Some(postgres)) => return self.break_server(fault, postgres, dice),
            (_, None) => return Ok(None),
        };
        Ok(Some(whom))
    }

    fn break_server(
        &self,
        fault: Fault,
        postgres: &Postgres,
        dice: &mut Dice,
    ) -> anyhow::Result<Option<String>> {
        let Postgres { server, proxy } = postgres;
        match fault {
            Fault::ServerKilled => {
                server.kill()?;
                self.sleep(dice.millis(0, 500));
                server.start_again()?;
            }
            Fault::NetworkCut => proxy.cut(),
            Fault::NetworkReset => proxy.reset(),
            Fault::NetworkRefused => {
                proxy.refuse();
                // Else those that are open go on.
                if !dice.once_in(3) {
                    proxy.reset();
                }
                self.sleep(dice.millis(100, 2500));
                proxy.heal()?;
            }
            Fault::NetworkSilent => {
                proxy.silence();
                self.sleep(dice.millis(100, 1000));
                proxy.heal()?;
                // What has lost something is silent until somebody's patience ends.
                if dice.once_in(2) {
                    self.sleep(dice.millis(0, 3000));
                }
                proxy.cut();
            }
            Fault::NetworkSlow => {
                proxy.delay(dice.millis(5, 100));
                self.sleep(dice.millis(200, 1500));
                proxy.heal()?;
            }
            Fault::CommitReset => {
                proxy.reset_during(dice.pick::<&str>(&COMMITS));
                return self.wait_for_rule(proxy);
            }
            _ => {
                let commit: &str = dice.pick::<&str>(&COMMITS);
                if dice.once_in(2) {
                    proxy.cut_after(commit);
                } else {
                    proxy.reset_after(commit);
                }
                return self.wait_for_rule(proxy);
            }
        }
        Ok(Some(String::new()))
    }

    /// Until somebody has met what was prepared. Now and then nobody does.
    fn wait_for_rule(&self, proxy: &Proxy) -> anyhow::Result<Option<String>> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while proxy.rules_waiting() > 0 {
            if Instant::now() > deadline || self.is_over() {
                proxy.heal()?;
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Some(String::new()))
    }

    fn kill(&self, who: impl Fn(Role) -> bool, dice: &mut Dice) -> anyhow::Result<String> {
        self.with_crew(|crew| crew.replace_any(who, dice))
    }

    /// A transaction that has begun, has an id, and then does nothing for a while. The server may die of something else.
    fn let_idle(&self, url: String, dice: &mut Dice) -> String {
        let time = dice.millis(300, 3000);
        self.runtime.spawn(async move {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::raw_sql("BEGIN; SELECT txid_current()").execute(&mut connection).await?;
            tokio::time::sleep(time).await;
            connection.close().await
        });
        format!("{time:?}")
    }

    fn with_crew<R>(&self, with: impl FnOnce(&mut Crew<Role>) -> R) -> R {
        with(&mut self.crew.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Sleeps, unless it is over before.
    fn sleep(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && !self.is_over() {
            thread::sleep(Duration::from_millis(5).min(deadline.saturating_duration_since(Instant::now())));
        }
    }
}
