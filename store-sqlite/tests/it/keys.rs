//! Keys in a file, and what is left in files of somebody who was forgotten.

use std::fs;
use std::path::Path;

use factum_conformance::keys;
use factum_core::Transactional;
use sqlx::Executor;

use crate::support::{file, ready, stranger};

#[tokio::test]
async fn keys_and_notes_come_back() {
    let (store, _dir) = ready().await;
    keys::keys_and_notes_come_back(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_add_a_key_get_the_same() {
    let (store, _dir) = ready().await;
    keys::all_who_add_a_key_get_the_same(store).await;
}

#[tokio::test]
async fn a_row_is_replaced_only_as_it_was_seen() {
    let (store, _dir) = ready().await;
    keys::a_row_is_replaced_only_as_it_was_seen(&store).await;
}

#[tokio::test]
async fn rows_are_listed_in_their_order() {
    let (store, _dir) = ready().await;
    keys::rows_are_listed_in_their_order(&store).await;
}

/// Whether the bytes are in a file, or in what SQLite has written beside it.
fn is_in(path: &Path, needle: &[u8]) -> bool {
    let mut found = false;
    for file in fs::read_dir(path.parent().expect("a folder")).expect("can be listed") {
        let bytes = fs::read(file.expect("can be listed").path()).expect("can be read");
        found |= bytes.windows(needle.len()).any(|window| window == needle);
    }
    found
}

#[tokio::test]
async fn who_is_forgotten_is_in_no_byte_of_the_files() {
    let (events, events_dir) = ready().await;
    let (keys, keys_dir) = ready().await;
    let needles = keys::who_is_forgotten_is_gone(events.clone(), keys.clone()).await;
    let (_, personal) = needles.split_last().expect("there is something");
    // What is personal was never in a file, whatever SQLite leaves there.
    for needle in personal {
        assert!(!is_in(&file(&events_dir), needle) && !is_in(&file(&keys_dir), needle));
    }
    assert!(is_in(&file(&events_dir), b"gold"), "what is not personal is found by this search");
    // The wrapped key goes with what SQLite has freed.
    for (store, dir) in [(events, &events_dir), (keys, &keys_dir)] {
        store.close().await;
        let mut connection = stranger(&file(dir)).await;
        connection.execute("VACUUM").await.expect("it is cleaned");
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("the log is written back");
        for needle in &needles {
            assert!(!is_in(&file(dir), needle));
        }
    }
}

#[tokio::test]
async fn keys_in_a_file_of_their_own_wait_for_no_transaction() {
    let (events, _events_dir) = ready().await;
    let (keys, _keys_dir) = ready().await;
    let tx = events.begin().await.expect("begins");
    keys::keys_and_notes_come_back(&keys).await;
    events.rollback(tx).await.expect("is rolled back");
}
