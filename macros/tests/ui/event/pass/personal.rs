//! The names that serde gives are those that are sealed, and a field may be called like anything in generated code.

use factum::{Codec, Event, Metadata, NewEvent};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.registered")]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
struct Registered<T: Default + Serialize + Send + Sync + 'static> {
    codec: u64,
    #[event(personal(subject = codec))]
    full_name: String,
    #[event(personal(subject = codec,))]
    r#type: T,
}

fn main() {
    let event = Registered { codec: 1, full_name: "Ada".into(), r#type: 2_u8 };
    let new = NewEvent::encode(&event, Codec::Json, Metadata::default()).expect("it is plain");
    assert_eq!(new.codec, "json+personal");
    let notes = String::from_utf8_lossy(&new.payload).into_owned();
    assert!(notes.contains(r#""field":"FULL-NAME","subject":"1""#), "{notes}");
    assert!(notes.contains(r#""field":"TYPE""#), "{notes}");
}
