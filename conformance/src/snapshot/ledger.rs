//! An aggregate by hand, whose state shows an event that was applied twice, never, or out of turn.

use factum_core::{
    Aggregate, Apply, BoxError, Codec, DecodeError, DecodeFault, Decoded, Event, EventType, Events, Handle,
    RecordedEvent, Route, SnapshotPolicy,
};
use serde::{Deserialize, Serialize};

/// A number was noted.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(super) struct Noted(pub(super) u64);

impl Event for Noted {
    const TYPES: &'static [EventType] = &[EventType::new("ledger.noted", 1, &[])];

    fn event_type(&self) -> &'static EventType {
        &Self::TYPES[0]
    }

    fn encode(&self, codec: Codec) -> Result<Vec<u8>, BoxError> {
        codec.encode(self)
    }

    fn decode_all(recorded: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
        Codec::default().decode(&recorded.payload).map(Decoded::Whole).map_err(|error| DecodeError {
            name: recorded.name.clone(),
            stream: recorded.stream.clone(),
            version: recorded.version,
            position: recorded.position,
            fault: DecodeFault::Payload(error),
        })
    }
}

impl Route<Ledger> for Noted {
    fn route(self, ledger: &mut Ledger) {
        ledger.apply(self);
    }
}

/// The numbers that were noted, in order. Snapshots of it are taken by hand.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    pub(super) noted: Vec<u64>,
}

impl Aggregate for Ledger {
    const CATEGORY: &'static str = "ledger";
    type Id = u32;
    type Event = Noted;
    const SNAPSHOT: Option<&'static SnapshotPolicy<Self>> = Some(&SnapshotPolicy::when(|_, _| false, 1));
}

impl Apply<Noted> for Ledger {
    fn apply(&mut self, event: Noted) {
        self.noted.push(event.0);
    }
}

/// Notes a number that was not noted before: a command that is repeated is refused by the state that has its event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note(pub(super) u64);

#[derive(Debug, PartialEq)]
pub(super) struct Twice;

impl Handle<Note> for Ledger {
    type Error = Twice;

    fn handle(&self, command: &Note) -> Result<Events<Noted>, Twice> {
        if self.noted.contains(&command.0) { Err(Twice) } else { Ok(Events::one(Noted(command.0))) }
    }
}
