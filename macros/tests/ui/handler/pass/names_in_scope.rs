//! Whatever the user calls things, and wherever the input comes from, generated code means its own.
#![allow(dead_code, unused_macros)]

use factum::{Envelope, Flush, On};
use serde::{Deserialize, Serialize};

pub use factum as reexported;

struct EventHandler;
struct Event;
struct Error;
struct Result;
struct Context;
struct Interest;
mod core {}

macro_rules! unreachable {
    () => {
        compile_error!("this is the user's")
    };
}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(factum::EventHandler)]
#[handler(name = "mails", error = std::io::Error, on(OrderPlaced), flush)]
enum Mails {
    Error,
    Event,
}

impl Mails {
    const NAME: u8 = 0;
    const INTERESTS: u8 = 0;

    fn handle(&self) {}
    fn flush(&self) {}
    fn on(&self) {}
}

impl On<OrderPlaced> for Mails {
    async fn on(
        &self,
        _: &Envelope<OrderPlaced>,
        _: &mut factum::Context,
    ) -> std::result::Result<(), std::io::Error> {
        Ok(())
    }
}

impl Flush for Mails {
    async fn flush(&self, _: &mut factum::Context) -> std::result::Result<(), std::io::Error> {
        Ok(())
    }
}

macro_rules! handler {
    ($handler:ident, $name:literal, $error:ty, $cx:ty, $event:ty, $priority:literal, $flush:ident, $key:ident) => {
        #[derive($crate::reexported::EventHandler)]
        #[handler(
                    name = $name,
                    error = $error,
                    cx = $cx,
                    on($event, $key = $priority),
                    $flush,
                    crate = $crate::reexported
                )]
        struct $handler;

        impl On<$event, $cx> for $handler {
            async fn on(
                &self,
                _: &Envelope<$event>,
                _: &mut factum::Context<$cx>,
            ) -> std::result::Result<(), $error> {
                Ok(())
            }
        }

        impl Flush<$cx> for $handler {
            async fn flush(&self, _: &mut factum::Context<$cx>) -> std::result::Result<(), $error> {
                Ok(())
            }
        }
    };
}

handler!(Letters, "letters", std::io::Error, u8, OrderPlaced, -5, flush, priority);

fn main() {
    assert_eq!(<Mails as factum::EventHandler>::NAME, "mails");
    assert_eq!(<Letters as factum::EventHandler<u8>>::INTERESTS[0].priority, -5);
}
