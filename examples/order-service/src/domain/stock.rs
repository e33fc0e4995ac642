//! Stock: how many there are of one product, and for whom they are put aside.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

use super::OrderId;

/// The shop's name of a product.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Product(pub String);

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// ---- What can happen -------------------------------------------------------------------------------------------

/// Goods came in.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "stock.received")]
pub struct StockReceived {
    /// How many.
    pub quantity: u32,
}

/// Some were put aside for an order.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "stock.reserved")]
pub struct StockReserved {
    /// For which.
    pub order: OrderId,
    /// How many.
    pub quantity: u32,
}

/// What was put aside for an order was put back.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "stock.released")]
pub struct StockReleased {
    /// For which.
    pub order: OrderId,
}

/// What was put aside for an order has left the house with it.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "stock.consumed")]
pub struct StockConsumed {
    /// With which.
    pub order: OrderId,
}

/// Everything that can happen to the stock of a product.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum StockEvent {
    /// Goods came in.
    Received(StockReceived),
    /// Some were put aside for an order.
    Reserved(StockReserved),
    /// What was put aside was put back.
    Released(StockReleased),
    /// What was put aside has left the house.
    Consumed(StockConsumed),
}

// ---- The state that follows ------------------------------------------------------------------------------------

/// The stock of one product. It lives as long as the product is sold, and every order adds to it, so it is loaded from a
/// snapshot; orders and their deliveries end after a few events, and need none.
#[derive(Aggregate, Default, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[aggregate(category = "stock", id = Product, event = StockEvent, snapshot(every = 100, version = 1))]
pub struct Stock {
    available: u64,
    shares: BTreeMap<OrderId, Share>,
}

/// What became of the share that an order has had of a product. It is never forgotten, so an order has at most one.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many are put aside.
    Reserved(u32),
    /// They were put back.
    Released,
    /// So many have left the house.
    Consumed(u32),
}

impl Stock {
    /// How many are there and put aside for nobody.
    pub fn available(&self) -> u64 {
        self.available
    }

    /// How many are put aside.
    pub fn reserved(&self) -> u64 {
        self.sum(|share| if let Share::Reserved(quantity) = share { quantity } else { 0 })
    }

    /// How many have left the house.
    pub fn consumed(&self) -> u64 {
        self.sum(|share| if let Share::Consumed(quantity) = share { quantity } else { 0 })
    }

    /// What became of the share of an order, if it has had one.
    pub fn share(&self, order: &OrderId) -> Option<Share> {
        self.shares.get(order).copied()
    }

    fn sum(&self, of: impl Fn(Share) -> u32) -> u64 {
        self.shares.values().map(|share| u64::from(of(*share))).sum()
    }
}

impl Apply<StockReceived> for Stock {
    fn apply(&mut self, event: StockReceived) {
        self.available += u64::from(event.quantity);
    }
}

impl Apply<StockReserved> for Stock {
    fn apply(&mut self, event: StockReserved) {
        self.available -= u64::from(event.quantity);
        self.shares.insert(event.order, Share::Reserved(event.quantity));
    }
}

impl Apply<StockReleased> for Stock {
    fn apply(&mut self, event: StockReleased) {
        if let Some(Share::Reserved(quantity)) = self.shares.insert(event.order, Share::Released) {
            self.available += u64::from(quantity);
        }
    }
}

impl Apply<StockConsumed> for Stock {
    fn apply(&mut self, event: StockConsumed) {
        if let Some(share) = self.shares.get_mut(&event.order)
            && let Share::Reserved(quantity) = *share
        {
            *share = Share::Consumed(quantity);
        }
    }
}

// ---- The decisions ---------------------------------------------------------------------------------------------

/// Put goods in stock.
#[derive(Clone, Debug)]
pub struct Receive {
    /// How many; at least one.
    pub quantity: u32,
}

/// Put some aside for an order. Nothing happens if the order has had its share, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// For which.
    pub order: OrderId,
    /// How many.
    pub quantity: u32,
}

/// Put back what is put aside for an order. Nothing happens if nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// For which.
    pub order: OrderId,
}

/// Let what is put aside for an order leave the house with it. Nothing happens if nothing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consume {
    /// With which.
    pub order: OrderId,
}

/// Why the store room says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// Nothing comes in.
    #[error("at least one comes in")]
    NothingReceived,
    /// There are too few.
    #[error("only {available} of {quantity} are there")]
    Missing {
        /// How many are wanted.
        quantity: u32,
        /// How many are there and put aside for nobody.
        available: u64,
    },
}

impl Handle<Receive> for Stock {
    type Error = StockError;

    fn handle(&self, Receive { quantity }: &Receive) -> Result<Events<StockEvent>, StockError> {
        match *quantity {
            0 => Err(StockError::NothingReceived),
            quantity => Ok(Events::one(StockReceived { quantity })),
        }
    }
}

impl Handle<Reserve> for Stock {
    type Error = StockError;

    fn handle(&self, command: &Reserve) -> Result<Events<StockEvent>, StockError> {
        let Reserve { order, quantity } = command.clone();
        match self.share(&order) {
            Some(_) => Ok(Events::none()),
            None if u64::from(quantity) > self.available => {
                Err(StockError::Missing { quantity, available: self.available })
            }
            None => Ok(Events::one(StockReserved { order, quantity })),
        }
    }
}

impl Handle<Release> for Stock {
    type Error = Infallible;

    fn handle(&self, Release { order }: &Release) -> Result<Events<StockEvent>, Infallible> {
        Ok(match self.share(order) {
            Some(Share::Reserved(_)) => Events::one(StockReleased { order: order.clone() }),
            _ => Events::none(),
        })
    }
}

impl Handle<Consume> for Stock {
    type Error = Infallible;

    fn handle(&self, Consume { order }: &Consume) -> Result<Events<StockEvent>, Infallible> {
        Ok(match self.share(order) {
            Some(Share::Reserved(_)) => Events::one(StockConsumed { order: order.clone() }),
            _ => Events::none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use factum::testing::Scenario;

    use super::*;

    fn order(id: &str) -> OrderId {
        OrderId(id.into())
    }

    fn reserve(id: &str, quantity: u32) -> Reserve {
        Reserve { order: order(id), quantity }
    }

    fn reserved(id: &str, quantity: u32) -> StockReserved {
        StockReserved { order: order(id), quantity }
    }

    fn released(id: &str) -> StockReleased {
        StockReleased { order: order(id) }
    }

    fn consumed(id: &str) -> StockConsumed {
        StockConsumed { order: order(id) }
    }

    fn five() -> Scenario<Stock> {
        Scenario::new().given(StockReceived { quantity: 5 })
    }

    #[test]
    fn goods_come_in() {
        five()
            .when(Receive { quantity: 2 })
            .then(StockReceived { quantity: 2 })
            .and_state(|stock| assert_eq!(stock.available(), 7));
        five().when(Receive { quantity: 0 }).then_rejected(&StockError::NothingReceived);
    }

    #[test]
    fn no_more_is_reserved_than_there_is() {
        let _ = five().when(reserve("1", 5)).then(reserved("1", 5));
        five().when(reserve("1", 6)).then_rejected(&StockError::Missing { quantity: 6, available: 5 });
        five()
            .given(reserved("1", 4))
            .when(reserve("2", 2))
            .then_rejected(&StockError::Missing { quantity: 2, available: 1 });
        Scenario::<Stock>::new()
            .when(reserve("1", 1))
            .then_rejected(&StockError::Missing { quantity: 1, available: 0 });
    }

    #[test]
    fn an_order_has_one_share_whatever_became_of_it() {
        let share = || five().given(reserved("1", 2));
        let _ = share().when(reserve("1", 2)).then_nothing();
        let _ = share().given(released("1")).when(reserve("1", 2)).then_nothing();
        let _ = share().given(consumed("1")).when(reserve("1", 2)).then_nothing();
    }

    #[test]
    fn what_is_released_is_there_again_once() {
        let release = || Release { order: order("1") };
        five()
            .given(reserved("1", 2))
            .when(release())
            .then(released("1"))
            .and_state(|stock| assert_eq!((stock.available(), stock.reserved()), (5, 0)));
        let _ = five().given(reserved("1", 2)).given(released("1")).when(release()).then_nothing();
        let _ = five().given(reserved("2", 2)).when(release()).then_nothing();
        let _ = five().given(reserved("1", 2)).given(consumed("1")).when(release()).then_nothing();
    }

    #[test]
    fn what_is_consumed_is_gone_once() {
        let consume = || Consume { order: order("1") };
        five().given(reserved("1", 2)).when(consume()).then(consumed("1")).and_state(|stock| {
            assert_eq!((stock.available(), stock.reserved(), stock.consumed()), (3, 0, 2));
        });
        let _ = five().given(reserved("1", 2)).given(consumed("1")).when(consume()).then_nothing();
        let _ = five().given(reserved("1", 2)).given(released("1")).when(consume()).then_nothing();
        let _ = five().when(consume()).then_nothing();
    }
}
