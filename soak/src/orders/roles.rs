//! Who takes part in a run of orders.

use std::path::Path;
use std::process::Command;

use super::customers::Demand;
use crate::crew::{Crew, Part};
use crate::target::Kind;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Its place among the nodes, from 1 on.
    Node(u64),
    Customers,
}

impl Part for Role {
    fn name(self) -> String {
        match self {
            Self::Node(number) => format!("node-{number}"),
            Self::Customers => "customers".to_owned(),
        }
    }
}

impl Role {
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Self::Node(_))
    }
}

/// All that a run needs, none of which has begun.
pub(crate) fn crew(folder: &Path, address: String, kind: Kind, seed: u64, demand: Demand) -> Crew<Role> {
    let of_run = folder.to_owned();
    Crew::new(folder, address, move |role, life, command: &mut Command| {
        match role {
            Role::Node(number) => {
                command.args(["fulfiller", "--number", &number.to_string()]);
            }
            Role::Customers => {
                let Demand { orders, rate } = demand;
                command.args(["customers", "--orders", &orders.to_string(), "--rate", &rate.to_string()]);
            }
        }
        command.args(["--store", kind.name(), "--nth", &life.to_string(), "--seed", &seed.to_string()]);
        command.arg("--folder").arg(&of_run);
    })
}
