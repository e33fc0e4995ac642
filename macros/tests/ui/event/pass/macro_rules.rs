//! Every part of the input may come from a macro, and the crate may be reached through `$crate`.

use serde::{Deserialize, Serialize};

pub use factum as reexported;

macro_rules! event {
    ($(#[$meta:meta])* $vis:vis struct $event:ident = $name:literal, $version:expr, $from:literal, $with:path;) => {
        $(#[$meta])*
        #[derive($crate::reexported::Event, Serialize, Deserialize)]
        #[event(
            name = $name,
            version = $version,
            upcast(from = $from, with = $with),
            crate = $crate::reexported
        )]
        $vis struct $event;
    };
}

macro_rules! events {
    ($krate:path; $enum:ident { $($variant:ident($event:ty)),* $(,)? }) => {
        #[derive(factum::Event)]
        #[event(crate = $krate)]
        pub enum $enum {
            $($variant($event)),*
        }
    };
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

event! {
    /// Documented.
    pub struct OrderPlaced = "order.placed", 2, 1, self::same;
}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.shipped")]
pub struct OrderShipped;

events!(crate::reexported; OrderEvent { Placed(self::OrderPlaced), Shipped(OrderShipped) });

fn main() {
    assert_eq!(<OrderEvent as factum::Event>::TYPES[0].name(), "order.placed");
}
