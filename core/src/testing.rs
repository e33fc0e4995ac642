//! Given, when, then: tests of aggregates, decisions, handlers and processes, without a store and without a runtime. And the
//! shapes of events, frozen; and what holds of an aggregate whatever commands come.

mod aggregate;
mod decision;
mod frozen;
mod handler;
mod invariants;
mod process;

pub use self::aggregate::{Scenario, When};
pub use self::decision::{Decided, DecisionScenario};
pub use self::frozen::Frozen;
pub(crate) use self::frozen::lock_as_written;
pub use self::handler::{HandlerScenario, block_on};
pub use self::invariants::{Invariants, Rng};
pub use self::process::ProcessScenario;
