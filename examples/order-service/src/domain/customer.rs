//! Customers: somebody who has bought something.

use std::fmt;

use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

/// The shop's number of a customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct CustomerId(pub String);

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Somebody became a customer.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "customer.registered")]
pub struct CustomerRegistered {
    /// Who.
    pub customer: CustomerId,
}

/// Everything that can happen to a customer.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum CustomerEvent {
    /// Somebody became a customer.
    Registered(CustomerRegistered),
}

/// A customer.
#[derive(Aggregate, Default, Clone, Debug, PartialEq, Eq)]
#[aggregate(category = "customer", id = CustomerId, event = CustomerEvent)]
pub struct Customer {
    is_registered: bool,
}

impl Apply<CustomerRegistered> for Customer {
    fn apply(&mut self, _: CustomerRegistered) {
        self.is_registered = true;
    }
}

/// Make somebody a customer. Nothing happens if they are one.
#[derive(Clone, Debug)]
pub struct Register {
    /// Who.
    pub customer: CustomerId,
}

impl Handle<Register> for Customer {
    type Error = std::convert::Infallible;

    fn handle(&self, command: &Register) -> Result<Events<CustomerEvent>, Self::Error> {
        if self.is_registered {
            return Ok(Events::none());
        }
        Ok(Events::one(CustomerRegistered { customer: command.customer.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use factum::testing::Scenario;

    use super::*;

    #[test]
    fn somebody_becomes_a_customer_once() {
        let ada = CustomerId("00001".into());
        let register = Register { customer: ada.clone() };
        let registered = CustomerRegistered { customer: ada };
        let _ = Scenario::<Customer>::new().when(register.clone()).then(registered.clone());
        let _ = Scenario::<Customer>::new().given(registered).when(register).then_nothing();
    }
}
