//! Whatever the user calls things, generated code means its own.
#![allow(dead_code)]

use factum::Apply;
use serde::{Deserialize, Serialize};

struct Aggregate;
struct Event;
struct Id;
struct Default;
struct String;
mod core {}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(factum::Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
enum Order {
    #[default]
    Event,
    Id,
}

impl Order {
    const CATEGORY: u8 = 0;
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {
        *self = Self::Id;
    }
}

macro_rules! aggregate {
    ($krate:path; $name:ident, $category:literal, $id:ty, $event:ty) => {
        #[derive(factum::Aggregate, Default)]
        #[aggregate(category = $category, id = $id, event = $event, crate = $krate)]
        struct $name;

        impl Apply<$event> for $name {
            fn apply(&mut self, _: $event) {}
        }
    };
}

aggregate!(factum; Cart, "cart", Box<str>, OrderPlaced);

fn main() {
    assert_eq!(<Order as factum::Aggregate>::CATEGORY, "order");
    assert_eq!(<Cart as factum::Aggregate>::CATEGORY, "cart");
}
