//! Names that are keywords.
#![allow(non_camel_case_types)]

use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "match", version = 2, upcast(from = 1, with = r#try))]
struct r#match {
    r#type: String,
}

fn r#try(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

#[derive(Event)]
enum r#enum {
    r#struct(r#match),
}

#[derive(Aggregate, Default)]
#[aggregate(category = "async", id = u64, event = r#enum)]
struct r#async;

impl Apply<r#match> for r#async {
    fn apply(&mut self, event: r#match) {
        assert_eq!(event.r#type, "loop");
    }
}

fn main() {
    factum::Route::route(r#enum::from(r#match { r#type: "loop".into() }), &mut r#async);
}
