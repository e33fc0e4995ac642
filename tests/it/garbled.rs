//! Stored bytes that were garbled: the entries of the fuzz targets, on their seeds and on thousands of mutations of them. They are
//! the same mutations each time.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/entries.rs"]
mod entries;

/// How many mutations each target gets.
const MUTATIONS: usize = 20_000;

/// Numbers that look random, and are the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides.max(1)
    }

    /// Changes `bytes` at some places; `other` is what parts of it may come from.
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.throw(4) {
            let (at, end) = (self.throw(bytes.len()), self.throw(bytes.len() + 1));
            let byte = u8::try_from(self.throw(256)).unwrap();
            match self.throw(7) {
                0 => bytes.truncate(end),
                1 => bytes.insert(at, byte),
                2 if !bytes.is_empty() => bytes[at] = byte,
                3 if !bytes.is_empty() => bytes[at] ^= 1 << self.throw(8),
                4 if at < end => drop(bytes.drain(at..end)),
                5 if at < end => bytes.extend_from_within(at..end),
                _ => {
                    let (from, to) = (self.throw(other.len()), self.throw(other.len() + 1));
                    bytes.splice(at..at, other.get(from..to).unwrap_or_default().iter().copied());
                }
            }
        }
        bytes.truncate(1 << 14);
    }
}

fn survives(target: &str, entry: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order in a folder is another one on each machine.
    paths.sort();
    for path in &paths {
        // Those that are not to be read are named so.
        let is_broken = path.to_string_lossy().ends_with(".broken");
        assert_eq!(entry(&fs::read(path).unwrap()), !is_broken, "whether {} can be read", path.display());
    }
    let seeds: Vec<_> = paths.into_iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has seeds");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..MUTATIONS {
        let mut bytes = seeds[dice.throw(seeds.len())].clone();
        let other = &seeds[dice.throw(seeds.len())];
        dice.mutate(&mut bytes, other);
        let outcome = std::panic::catch_unwind(|| entry(&bytes));
        assert!(outcome.is_ok(), "{target} breaks on \"{}\"", bytes.escape_ascii());
    }
}

#[test]
fn a_garbled_payload_is_an_error_in_every_codec() {
    survives("codecs", entries::codecs);
}

#[test]
fn a_garbled_event_is_an_error_in_every_shape() {
    survives("events", entries::events);
}

#[test]
fn a_garbled_sealed_event_is_an_error() {
    survives("vault", entries::vault);
}

#[test]
fn garbled_metadata_is_an_error() {
    survives("metadata", entries::metadata);
}

#[test]
fn a_garbled_export_is_an_error() {
    survives("export", entries::export_file);
}

#[test]
fn a_garbled_file_of_frozen_shapes_is_an_error() {
    survives("lock", entries::lock);
}
