//! Fuzzes what brings a stored event to today's shape.

#![no_main]

#[allow(dead_code)]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::events(bytes);
});
