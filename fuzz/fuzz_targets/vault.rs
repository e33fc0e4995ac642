//! Fuzzes what opens sealed events.

#![no_main]

#[allow(dead_code)]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::vault(bytes);
});
