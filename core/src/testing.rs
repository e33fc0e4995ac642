//! Given, when, then: tests of aggregates and handlers, without a store and without a runtime.

mod aggregate;
mod handler;

pub use self::aggregate::{Scenario, When};
pub use self::handler::{HandlerScenario, block_on};
