//! The service as its users meet it, on every store.

mod ages;
mod bad_lines;
mod killed;
mod past;
mod rebuilt;
mod serve;
mod shops;
mod stores;

use std::io::Cursor;

/// The whole history.
pub(crate) const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/CDNOW_master.txt");

/// The header and the first purchases of the history.
pub(crate) fn first_lines(purchases: usize) -> String {
    let text = std::fs::read_to_string(FILE).expect("the file is part of the example");
    text.split_inclusive('\n').take(purchases + 1).collect()
}

pub(crate) fn input(text: impl Into<String>) -> Cursor<String> {
    Cursor::new(text.into())
}
