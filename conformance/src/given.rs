//! What promises begin with: streams, events, appends.

use bytes::Bytes;
use factum_core::store::Append;
use factum_core::{EventId, EventName, Expected, Metadata, NewEvent, StreamId};

/// The stream `order/<id>`.
pub(crate) fn stream(id: &str) -> StreamId {
    stream_of("order", id)
}

/// The stream of this category and id.
pub(crate) fn stream_of(category: &str, id: &str) -> StreamId {
    StreamId::new(category, id).expect("promises use valid names")
}

/// An event with a fresh id, and a payload like that of no other event.
pub(crate) fn event() -> NewEvent {
    event_named("tested")
}

/// The same under a name.
pub(crate) fn event_named(name: &str) -> NewEvent {
    let id = EventId::new();
    NewEvent {
        id,
        name: EventName::new(name.to_owned()).expect("promises use valid names"),
        schema_version: 1,
        codec: "json".into(),
        payload: Bytes::from(format!(r#"{{"of":"{id}"}}"#)),
        metadata: Metadata::default(),
    }
}

/// As many events.
pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    std::iter::repeat_with(event).take(count).collect()
}

/// An append of `count` events to `stream`, whatever it is like.
pub(crate) fn some(stream: &StreamId, count: usize) -> Append {
    Append::to(stream.clone(), Expected::Any, events(count))
}

/// The ids of its events, in order.
pub(crate) fn ids_of(append: &Append) -> Vec<EventId> {
    append.events().map(|event| event.id).collect()
}
