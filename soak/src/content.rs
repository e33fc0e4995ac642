//! What events contain: all of it follows from their id, so that whoever sees one knows whether it is whole.

use factum_core::retention::is_reserved;
use factum_core::{EventId, EventName, Metadata, NewEvent, RecordedEvent};

/// The name of about one event in four, which one subscriber asks for.
pub(crate) const TAGGED: &str = "soak.tagged";
const PLAIN: &str = "soak.happened";

/// The event with this id.
pub(crate) fn event(id: EventId) -> NewEvent {
    let bytes = id.0.as_bytes();
    let (name, pad) = (if bytes[15].is_multiple_of(4) { TAGGED } else { PLAIN }, usize::from(bytes[14]));
    // One in 64 is larger than a page of a database.
    let pad = if bytes[13].is_multiple_of(64) { pad * 100 } else { pad };
    NewEvent {
        id,
        name: EventName::new(name).expect("valid"),
        schema_version: 1,
        codec: "json".into(),
        payload: format!(r#"{{"id":"{id}","pad":"{}"}}"#, "x".repeat(pad)).into_bytes().into(),
        metadata: Metadata::default(),
    }
}

/// Whether nothing of an event was changed. What the framework says of a stream has a content of its own.
pub(crate) fn is_whole(recorded: &RecordedEvent) -> bool {
    let given = if is_reserved(recorded.name.as_str()) {
        NewEvent { name: recorded.name.clone(), payload: "{}".into(), ..event(recorded.id) }
    } else {
        event(recorded.id)
    };
    recorded.name == given.name
        && recorded.schema_version == given.schema_version
        && recorded.codec == given.codec
        && recorded.payload == given.payload
        && recorded.metadata == given.metadata
}
