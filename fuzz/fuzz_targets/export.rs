//! Fuzzes what reads an export.

#![no_main]

#[allow(dead_code)]
#[path = "../src/entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entries::export_file(bytes);
});
