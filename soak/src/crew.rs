//! The processes that use the store: begun, killed, begun again, and brought to their end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::dice::Dice;
use crate::follower::Follower;
use crate::life::ADDRESS;
use crate::run::Plan;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Its place among the workers, from 1 on.
    Worker(usize),
    Subscriber(Follower),
}

impl Role {
    fn name(self) -> String {
        match self {
            Self::Worker(number) => format!("worker-{number}"),
            Self::Subscriber(follower) => format!("subscriber-{}", follower.name()),
        }
    }
}

/// What each process has said last: how many appends were acknowledged, unknown and conflicts; or where its
/// checkpoint is.
type Board = Arc<Mutex<BTreeMap<(Role, u64), Vec<u64>>>>;

#[derive(Debug)]
pub(crate) struct Crew {
    plan: Plan,
    address: String,
    members: Vec<Member>,
    board: Board,
}

#[derive(Debug)]
struct Member {
    role: Role,
    life: u64,
    /// Its input is open until it is to stop.
    child: Child,
}

/// How far all of them are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) conflicts: u64,
    /// Where the slowest subscriber is, and which one it is.
    pub(crate) slowest: (u64, Follower),
}

impl Crew {
    pub(crate) fn begin(plan: &Plan, address: String) -> anyhow::Result<Self> {
        let mut crew = Self { plan: plan.clone(), address, members: Vec::new(), board: Board::default() };
        let workers = (1..=plan.processes).map(Role::Worker);
        for role in workers.chain(Follower::ALL.map(Role::Subscriber)) {
            let child = crew.begin_process(role, 1)?;
            crew.members.push(Member { role, life: 1, child });
        }
        Ok(crew)
    }

    pub(crate) fn progress(&self) -> Progress {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |at: usize| {
            let workers = board.iter().filter(|((role, _), _)| matches!(role, Role::Worker(_)));
            workers.filter_map(|(_, numbers)| numbers.get(at)).sum()
        };
        let at = |follower| {
            let lives = board.iter().filter(|((role, _), _)| *role == Role::Subscriber(follower));
            let at = lives.filter_map(|(_, numbers)| numbers.first()).max();
            (at.copied().unwrap_or_default(), follower)
        };
        let slowest = Follower::ALL.map(at).into_iter().min().expect("there are some");
        Progress { acknowledged: sum(0), unknown: sum(1), conflicts: sum(2), slowest }
    }

    /// Kills one of those, and begins another in its place. Says who it was.
    pub(crate) fn replace_any(
        &mut self,
        who: impl Fn(Role) -> bool,
        dice: &mut Dice,
    ) -> anyhow::Result<String> {
        let at = self.any(who, dice);
        let Member { role, life, child } = &mut self.members[at];
        child.kill()?;
        child.wait()?;
        let name = format!("{}.{life}", role.name());
        let (role, life) = (*role, *life + 1);
        let child = self.begin_process(role, life)?;
        self.members[at] = Member { role, life, child };
        Ok(name)
    }

    /// The process of one of those, and its name.
    pub(crate) fn pid_of_any(&self, who: impl Fn(Role) -> bool, dice: &mut Dice) -> (u32, String) {
        let Member { role, life, child } = &self.members[self.any(who, dice)];
        (child.id(), format!("{}.{life}", role.name()))
    }

    /// What those said last who have ended by themselves, if any have.
    pub(crate) fn look(&mut self) -> anyhow::Result<Option<String>> {
        for Member { role, life, child } in &mut self.members {
            if let Some(status) = child.try_wait()? {
                let name = format!("{}.{life}", role.name());
                return Ok(Some(format!(
                    "{name} has ended by itself, with {status}{}",
                    last_words(&self.plan.folder, &name)
                )));
            }
        }
        Ok(None)
    }

    /// Tells those to stop, and waits until they have. Says who has not, or not well.
    pub(crate) fn stop(
        &mut self,
        who: impl Fn(Role) -> bool,
        patience: Duration,
    ) -> anyhow::Result<Option<String>> {
        let (mut stopping, others): (Vec<_>, Vec<_>) =
            self.members.drain(..).partition(|member| who(member.role));
        self.members = others;
        for member in &mut stopping {
            drop(member.child.stdin.take());
        }
        let deadline = Instant::now() + patience;
        let mut said = None;
        for Member { role, life, child } in &mut stopping {
            let name = format!("{}.{life}", role.name());
            let status = loop {
                match child.try_wait()? {
                    None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                    status => break status,
                }
            };
            let how = match status {
                Some(status) if status.success() => continue,
                Some(status) => format!("ended with {status}"),
                None => {
                    child.kill()?;
                    child.wait()?;
                    format!("did not come to its end within {patience:?}")
                }
            };
            said.get_or_insert(format!("{name} {how}{}", last_words(&self.plan.folder, &name)));
        }
        Ok(said)
    }

    /// One of those that have had the fewest lives, so that all come to their turn.
    fn any(&self, who: impl Fn(Role) -> bool, dice: &mut Dice) -> usize {
        let all: Vec<_> = (0..self.members.len()).filter(|&at| who(self.members[at].role)).collect();
        let fewest = all.iter().map(|&at| self.members[at].life).min();
        let next: Vec<_> = all.into_iter().filter(|&at| Some(self.members[at].life) == fewest).collect();
        *dice.pick(&next)
    }

    fn begin_process(&self, role: Role, life: u64) -> anyhow::Result<Child> {
        let Plan { kind, folder, seed, clients, processes, rate, .. } = &self.plan;
        let mut command = Command::new(std::env::current_exe()?);
        match role {
            Role::Worker(number) => {
                let share = rate.div_ceil(u64::try_from(*processes)?);
                command.args(["worker", "--number", &number.to_string(), "--rate", &share.to_string()]);
                command.args(["--clients", &clients.to_string()]);
            }
            Role::Subscriber(follower) => {
                command.args(["subscriber", "--follower", follower.name()]);
            }
        }
        command.args(["--store", kind.name(), "--nth", &life.to_string(), "--seed", &seed.to_string()]);
        command.arg("--folder").arg(folder).env(ADDRESS, &self.address);
        let stderr = folder.join(format!("{}.{life}.stderr", role.name()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(stderr)?)
            .spawn()
            .context("cannot begin a process")?;
        let said = child.stdout.take().expect("it is piped");
        let board = Arc::clone(&self.board);
        thread::spawn(move || listen(said, &board, (role, life)));
        Ok(child)
    }
}

impl Drop for Crew {
    /// Only after an error are there any left.
    fn drop(&mut self) {
        for Member { child, .. } in &mut self.members {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Puts on the board what a process says, until it has ended.
fn listen(said: ChildStdout, board: &Board, who: (Role, u64)) {
    for line in BufReader::new(said).lines().map_while(Result::ok) {
        let numbers = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        board.lock().unwrap_or_else(PoisonError::into_inner).insert(who, numbers);
    }
}

fn last_words(folder: &Path, name: &str) -> String {
    let words = fs::read_to_string(folder.join(format!("{name}.stderr"))).unwrap_or_default();
    if words.trim().is_empty() { String::new() } else { format!(": {}", words.trim()) }
}
