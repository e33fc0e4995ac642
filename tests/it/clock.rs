//! A clock: it is wound when an order is placed, rings when the time has come, and once more five minutes later.

use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Aggregate, Apply, Deadline, Envelope, Event, EventId, Events, Handle, Issue, ProcessManager, React,
};
use serde::{Deserialize, Serialize};

use crate::fulfilment::OrderPlaced;

#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
#[event(name = "clock.wound")]
pub(crate) struct Wound {
    pub(crate) minutes: i64,
}

#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
#[event(name = "clock.rung")]
pub(crate) struct Rung {
    pub(crate) set_for: i64,
    pub(crate) at: i64,
}

#[derive(Event, Debug, PartialEq)]
pub(crate) enum ClockEvent {
    Wound(Wound),
    Rung(Rung),
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "clock", id = String, event = ClockEvent)]
#[process(name = "clock", on(OrderPlaced), issues(Wound), deadline(Wound), deadline(Rung))]
pub(crate) struct Clock {
    rung: i64,
}

impl Apply<Wound> for Clock {
    fn apply(&mut self, _: Wound) {}
}

impl Apply<Rung> for Clock {
    fn apply(&mut self, _: Rung) {
        self.rung += 1;
    }
}

impl React<OrderPlaced> for Clock {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, event: &Envelope<OrderPlaced>) -> Events<ClockEvent> {
        Events::one(Wound { minutes: i64::from(event.event.pay_within_ms) / 60_000 })
    }
}

pub(crate) struct Tell {
    pub(crate) caused_by: Option<EventId>,
}

impl Handle<Tell> for Clock {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Tell) -> Result<Events<ClockEvent>, Self::Error> {
        Ok(Events::none())
    }
}

impl Issue<Wound> for Clock {
    type Target = Self;
    type Command = Tell;

    fn issue(event: &Envelope<Wound>) -> (String, Tell) {
        (event.stream.id().to_owned(), Tell { caused_by: event.metadata.causation_id })
    }

    fn rejected(&self, _: &Envelope<Wound>, error: &std::convert::Infallible) -> Events<ClockEvent> {
        match *error {}
    }
}

fn minute(time: DateTime<Utc>) -> i64 {
    (time - DateTime::UNIX_EPOCH).num_minutes()
}

impl Deadline<Wound> for Clock {
    fn due(event: &Envelope<Wound>) -> Option<DateTime<Utc>> {
        Some(event.recorded_at + TimeDelta::minutes(event.event.minutes))
    }

    fn elapsed(&self, event: &Envelope<Wound>) -> Events<ClockEvent> {
        let Wound { minutes } = event.event;
        Events::one(Rung { set_for: minutes, at: minute(event.recorded_at) + minutes })
    }
}

impl Deadline<Rung> for Clock {
    fn due(event: &Envelope<Rung>) -> Option<DateTime<Utc>> {
        // Once more, and that is all.
        (event.event.set_for != 5).then_some(event.recorded_at + TimeDelta::minutes(5))
    }

    fn elapsed(&self, event: &Envelope<Rung>) -> Events<ClockEvent> {
        Events::one(Rung { set_for: 5, at: minute(event.recorded_at) + 5 })
    }
}

/// The same clock in an older program, in which it did not ring.
#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "clock", id = String, event = ClockEvent)]
#[process(name = "clock", on(OrderPlaced))]
pub(crate) struct SilentClock(Clock);

impl<E> Apply<E> for SilentClock
where
    Clock: Apply<E>,
{
    fn apply(&mut self, event: E) {
        self.0.apply(event);
    }
}

impl React<OrderPlaced> for SilentClock {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Clock::process(event)
    }

    fn react(&self, event: &Envelope<OrderPlaced>) -> Events<ClockEvent> {
        self.0.react(event)
    }
}
