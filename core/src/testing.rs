//! Given, when, then: tests of aggregates, handlers and processes, without a store and without a runtime.

mod aggregate;
mod handler;
mod process;

pub use self::aggregate::{Scenario, When};
pub use self::handler::{HandlerScenario, block_on};
pub use self::process::ProcessScenario;
