//! Promises: units of a product that is announced and not there yet, promised to orders before they come in.
//!
//! All promises of a product together never exceed what is announced, and no stream has that number: each order keeps its own promises.
//! So this is no aggregate but a decision, on all events that are about the product, wherever they are kept. Orders of different
//! products do not wait for each other, and no order waits for another one's stream.

use std::collections::BTreeMap;

use factum::{Apply, Decision, Event, Records, Select, View};
use serde::{Deserialize, Serialize};

use super::{OrderId, Product};

// ---- What can happen -------------------------------------------------------------------------------------------

/// So many of a product will come in. The last announcement is the one that counts.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "promise.announced")]
pub struct Announced {
    /// Of what.
    #[event(tag)]
    pub product: Product,
    /// How many.
    pub units: u32,
}

/// Some of them were promised to an order.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "promise.given")]
pub struct PromiseGiven {
    /// Of what.
    #[event(tag)]
    pub product: Product,
    /// To which.
    #[event(tag)]
    pub order: OrderId,
    /// How many.
    pub units: u32,
}

/// An order does not want what it was promised.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "promise.withdrawn")]
pub struct PromiseWithdrawn {
    /// Of what.
    #[event(tag)]
    pub product: Product,
    /// Which.
    #[event(tag)]
    pub order: OrderId,
}

/// Everything that can happen to promises.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum PromiseEvent {
    /// So many will come in.
    Announced(Announced),
    /// Some were promised.
    Given(PromiseGiven),
    /// A promise was given back.
    Withdrawn(PromiseWithdrawn),
}

// ---- What a decision looks at ----------------------------------------------------------------------------------

/// What is announced and promised of one product.
#[derive(View, Default, Clone, Debug, PartialEq, Eq)]
#[view(event = PromiseEvent)]
pub struct Promises {
    announced: u32,
    of: BTreeMap<OrderId, u32>,
}

impl Promises {
    /// Those of a product.
    pub fn of(product: &Product) -> Select<Self> {
        Select::tagged("product", product)
    }

    /// How many will come in.
    pub fn announced(&self) -> u32 {
        self.announced
    }

    /// How many of these are promised.
    pub fn promised(&self) -> u64 {
        self.of.values().copied().map(u64::from).sum()
    }

    /// How many may still be promised.
    pub fn available(&self) -> u64 {
        u64::from(self.announced).saturating_sub(self.promised())
    }
}

impl Apply<Announced> for Promises {
    fn apply(&mut self, event: Announced) {
        self.announced = event.units;
    }
}

impl Apply<PromiseGiven> for Promises {
    fn apply(&mut self, event: PromiseGiven) {
        self.of.insert(event.order, event.units);
    }
}

impl Apply<PromiseWithdrawn> for Promises {
    fn apply(&mut self, event: PromiseWithdrawn) {
        self.of.remove(&event.order);
    }
}

// ---- The decisions ---------------------------------------------------------------------------------------------

/// Announce goods, or correct what was announced.
#[derive(Clone, Debug)]
pub struct Announce {
    /// Of what.
    pub product: Product,
    /// How many there will be altogether.
    pub units: u32,
}

/// Promise some of them to an order. Nothing happens if the order has just this promise.
#[derive(Clone, Debug)]
pub struct GivePromise {
    /// Of what.
    pub product: Product,
    /// To which.
    pub order: OrderId,
    /// How many; at least one.
    pub units: u32,
}

/// Take back what is promised to an order. Nothing happens if nothing is.
#[derive(Clone, Debug)]
pub struct WithdrawPromise {
    /// Of what.
    pub product: Product,
    /// Which.
    pub order: OrderId,
}

/// Why nothing is promised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromiseError {
    /// Nobody is promised nothing.
    #[error("at least one is promised")]
    NothingPromised,
    /// The order has another promise.
    #[error("{units} are promised to the order already")]
    Already {
        /// How many.
        units: u32,
    },
    /// There will be too few.
    #[error("only {available} of {units} are left to be promised")]
    Missing {
        /// How many are wanted.
        units: u32,
        /// How many may be promised.
        available: u64,
    },
    /// More is promised than there would be.
    #[error("{promised} are promised already")]
    Promised {
        /// How many.
        promised: u64,
    },
}

impl Decision for Announce {
    type Views = Promises;
    type Event = PromiseEvent;
    type Error = PromiseError;

    fn views(&self) -> Select<Promises> {
        Promises::of(&self.product)
    }

    fn decide(&self, promises: &Promises) -> Result<Records<PromiseEvent>, PromiseError> {
        let Self { product, units } = self.clone();
        if promises.promised() > u64::from(units) {
            return Err(PromiseError::Promised { promised: promises.promised() });
        }
        if promises.announced == units {
            return Ok(Records::none());
        }
        Ok(Records::one("announcement", &self.product, Announced { product, units }))
    }
}

impl Decision for GivePromise {
    type Views = Promises;
    type Event = PromiseEvent;
    type Error = PromiseError;

    fn views(&self) -> Select<Promises> {
        Promises::of(&self.product)
    }

    fn decide(&self, promises: &Promises) -> Result<Records<PromiseEvent>, PromiseError> {
        let Self { product, order, units } = self.clone();
        match promises.of.get(&order) {
            _ if units == 0 => Err(PromiseError::NothingPromised),
            Some(promised) if *promised == units => Ok(Records::none()),
            Some(promised) => Err(PromiseError::Already { units: *promised }),
            None if u64::from(units) > promises.available() => {
                Err(PromiseError::Missing { units, available: promises.available() })
            }
            None => Ok(Records::one("promise", &self.order, PromiseGiven { product, order, units })),
        }
    }
}

impl Decision for WithdrawPromise {
    type Views = Promises;
    type Event = PromiseEvent;
    type Error = std::convert::Infallible;

    fn views(&self) -> Select<Promises> {
        Promises::of(&self.product)
    }

    fn decide(&self, promises: &Promises) -> Result<Records<PromiseEvent>, Self::Error> {
        let Self { product, order } = self.clone();
        Ok(match promises.of.get(&order) {
            Some(_) => Records::one("promise", &self.order, PromiseWithdrawn { product, order }),
            None => Records::none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use factum::testing::DecisionScenario;

    use super::*;

    fn cd() -> Product {
        Product("CD".into())
    }

    fn order(id: &str) -> OrderId {
        OrderId(id.into())
    }

    fn given(id: &str, units: u32) -> PromiseGiven {
        PromiseGiven { product: cd(), order: order(id), units }
    }

    fn give(id: &str, units: u32) -> GivePromise {
        GivePromise { product: cd(), order: order(id), units }
    }

    fn withdrawn(id: &str) -> PromiseWithdrawn {
        PromiseWithdrawn { product: cd(), order: order(id) }
    }

    fn five() -> DecisionScenario {
        DecisionScenario::new().given(Announced { product: cd(), units: 5 })
    }

    #[test]
    fn what_is_announced_is_promised_to_orders() {
        five().when(give("1", 3)).then(Records::one("promise", &"1", given("1", 3)));
        five().given(given("1", 3)).when(give("2", 2)).then(Records::one("promise", &"2", given("2", 2)));
    }

    #[test]
    fn no_more_is_promised_than_will_come() {
        let missing = PromiseError::Missing { units: 3, available: 2 };
        five().given(given("1", 3)).when(give("2", 3)).then_rejected(&missing);
        let nothing = PromiseError::Missing { units: 1, available: 0 };
        DecisionScenario::new().when(give("1", 1)).then_rejected(&nothing);
        five().when(give("1", 0)).then_rejected(&PromiseError::NothingPromised);
    }

    #[test]
    fn a_promise_is_given_once() {
        five().given(given("1", 3)).when(give("1", 3)).then(Records::none());
        five().given(given("1", 3)).when(give("1", 1)).then_rejected(&PromiseError::Already { units: 3 });
    }

    #[test]
    fn what_is_withdrawn_can_be_promised_to_others() {
        let given = || five().given(given("1", 5));
        let withdraw = || WithdrawPromise { product: cd(), order: order("1") };
        given().when(withdraw()).then(Records::one("promise", &"1", withdrawn("1")));
        given().given(withdrawn("1")).when(withdraw()).then(Records::none());
        let again = PromiseGiven { product: cd(), order: order("2"), units: 5 };
        given().given(withdrawn("1")).when(give("2", 5)).then(Records::one("promise", &"2", again));
    }

    #[test]
    fn an_announcement_keeps_what_is_promised() {
        let announce = |units| Announce { product: cd(), units };
        let announced = |units| Announced { product: cd(), units };
        five().when(announce(5)).then(Records::none());
        five().when(announce(9)).then(Records::one("announcement", &"CD", announced(9)));
        five().given(given("1", 3)).when(announce(3)).then(Records::one("announcement", &"CD", announced(3)));
        let promised = PromiseError::Promised { promised: 3 };
        five().given(given("1", 3)).when(announce(2)).then_rejected(&promised);
    }
}
