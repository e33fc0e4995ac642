use std::rc::Rc;

use factum::Event;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Event)]
#[event(name = "order.placed")]
struct OrderPlaced(Rc<str>);

impl Serialize for OrderPlaced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OrderPlaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

fn main() {}
