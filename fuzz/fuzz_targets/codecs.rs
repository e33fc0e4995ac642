//! Fuzzes what reads a payload by each codec.

#![no_main]

#[allow(dead_code)]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::codecs(bytes);
});
