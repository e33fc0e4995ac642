//! What has become of each order and of each item, as the log has it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use factum_core::{Event as _, Position, RecordedEvent};

use super::domain::{StockEvent, StockHeld};

/// All that has happened until now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) orders: BTreeMap<u64, Tale>,
    /// By their names, in the order in which it happened.
    pub(crate) items: BTreeMap<String, Vec<StockEvent>>,
    pub(crate) events: usize,
    /// Of the last event.
    pub(crate) end: Position,
}

/// What has happened to one order, in all streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tale {
    /// By the names of the events, in the order in which they happened.
    pub(crate) moments: BTreeMap<String, Vec<Moment>>,
    /// When the customer was to have paid, each time that stock was held for the order.
    pub(crate) due: Vec<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) position: Position,
    pub(crate) at: DateTime<Utc>,
}

impl Story {
    pub(crate) fn go_on(&mut self, event: &RecordedEvent) -> anyhow::Result<()> {
        let moment = Moment { position: event.position, at: event.recorded_at };
        let mut of_order = event.stream.id().parse().ok();
        if event.stream.category() == "stock" {
            let change = StockEvent::decode(event)?;
            of_order = match &change {
                StockEvent::Filled(_) => None,
                StockEvent::Held(held) => Some(held.order),
                StockEvent::LetGo(let_go) => Some(let_go.order),
                StockEvent::Taken(taken) => Some(taken.order),
            };
            self.items.entry(event.stream.id().to_owned()).or_default().push(change);
        }
        if let Some(order) = of_order {
            let tale = self.orders.entry(order).or_default();
            tale.moments.entry(event.name.as_str().to_owned()).or_default().push(moment);
            if event.name.as_str() == "fulfilment.stock_held" {
                let StockHeld { pay_within_ms } = StockHeld::decode(event)?;
                tale.due.push(event.recorded_at + TimeDelta::milliseconds(pay_within_ms.into()));
            }
        }
        self.events += 1;
        self.end = event.position;
        Ok(())
    }

    /// How many orders have come to their end.
    pub(crate) fn ended(&self) -> usize {
        self.orders.values().filter(|tale| tale.has("order.shipped") || tale.has("order.cancelled")).count()
    }
}

impl Tale {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.moments.contains_key(name)
    }

    pub(crate) fn all(&self, name: &str) -> &[Moment] {
        self.moments.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn first(&self, name: &str) -> Option<Moment> {
        self.all(name).first().copied()
    }
}
