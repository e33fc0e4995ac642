//! Who takes part in the run that breaks a store, and how far they are.

use std::process::Command;

use crate::crew::{Crew, Part};
use crate::follower::Follower;
use crate::run::Plan;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Its place among the workers, from 1 on.
    Worker(usize),
    Subscriber(Follower),
}

impl Part for Role {
    fn name(self) -> String {
        match self {
            Self::Worker(number) => format!("worker-{number}"),
            Self::Subscriber(follower) => format!("subscriber-{}", follower.name()),
        }
    }
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

/// Begins all that a plan has.
pub(crate) fn begin(plan: &Plan, address: String) -> anyhow::Result<Crew<Role>> {
    let (ordered, share) = (plan.clone(), plan.rate.div_ceil(u64::try_from(plan.processes)?));
    let order = move |role, life: u64, command: &mut Command| {
        let Plan { kind, folder, seed, clients, .. } = &ordered;
        match role {
            Role::Worker(number) => {
                command.args(["worker", "--number", &number.to_string(), "--rate", &share.to_string()]);
                command.args(["--clients", &clients.to_string()]);
            }
            Role::Subscriber(follower) => {
                command.args(["subscriber", "--follower", follower.name()]);
            }
        }
        command.args(["--store", kind.name(), "--nth", &life.to_string(), "--seed", &seed.to_string()]);
        command.arg("--folder").arg(folder);
    };
    let mut crew = Crew::new(&plan.folder, address, order);
    let workers = (1..=plan.processes).map(Role::Worker);
    crew.begin(workers.chain(Follower::ALL.map(Role::Subscriber)))?;
    Ok(crew)
}

impl Crew<Role> {
    /// What each process says: how many appends were acknowledged, unknown and conflicts; or where its checkpoint is.
    pub(crate) fn progress(&self) -> Progress {
        let said = self.said();
        let sum = |at: usize| {
            let workers = said.iter().filter(|((role, _), _)| matches!(role, Role::Worker(_)));
            workers.filter_map(|(_, numbers)| numbers.get(at)).sum()
        };
        let at = |follower| {
            let lives = said.iter().filter(|((role, _), _)| *role == Role::Subscriber(follower));
            let at = lives.filter_map(|(_, numbers)| numbers.first()).max();
            (at.copied().unwrap_or_default(), follower)
        };
        let slowest = Follower::ALL.map(at).into_iter().min().expect("there are some");
        Progress { acknowledged: sum(0), unknown: sum(1), conflicts: sum(2), slowest }
    }
}
