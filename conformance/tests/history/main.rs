//! The tests of the checker of histories: it says what a search through all orders says, on histories that are made
//! up; and it catches stores that are broken, on histories that were recorded.
#![expect(
    clippy::unwrap_used,
    reason = "a history that cannot even be made as it should is a mistake of these tests"
)]

mod agreement;
mod laws;
mod live;
mod made;
mod scale;
mod search;
mod stores;
mod text;
