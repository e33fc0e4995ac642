//! The promises of keys, on those in memory.

use factum_conformance::keys;
use factum_memory::{MemoryKeys, MemoryStore};

#[tokio::test]
async fn keys_and_notes_come_back() {
    keys::keys_and_notes_come_back(&MemoryKeys::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_add_a_key_get_the_same() {
    keys::all_who_add_a_key_get_the_same(MemoryKeys::default()).await;
}

#[tokio::test]
async fn a_row_is_replaced_only_as_it_was_seen() {
    keys::a_row_is_replaced_only_as_it_was_seen(&MemoryKeys::default()).await;
}

#[tokio::test]
async fn rows_are_listed_in_their_order() {
    keys::rows_are_listed_in_their_order(&MemoryKeys::default()).await;
}

#[tokio::test]
async fn who_is_forgotten_is_gone() {
    keys::who_is_forgotten_is_gone(MemoryStore::new(), MemoryKeys::default()).await;
}
