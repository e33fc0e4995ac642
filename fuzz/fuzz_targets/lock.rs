//! Fuzzes what reads the file of frozen shapes.

#![no_main]

#[allow(dead_code)]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::lock(bytes);
});
