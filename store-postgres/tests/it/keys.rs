//! Keys in a database, and what is left in it of somebody who was forgotten.

use std::fmt::Write as _;

use factum_conformance::keys;
use factum_postgres::PostgresStore;
use factum_testkit::Database;

use crate::given::{database, stranger};

async fn ready() -> (PostgresStore, Database) {
    let database = database().await;
    (PostgresStore::connect(database.url()).await.expect("the server is there"), database)
}

#[tokio::test]
async fn keys_and_notes_come_back() {
    let (store, _database) = ready().await;
    keys::keys_and_notes_come_back(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_add_a_key_get_the_same() {
    let (store, _database) = ready().await;
    keys::all_who_add_a_key_get_the_same(store).await;
}

#[tokio::test]
async fn a_row_is_replaced_only_as_it_was_seen() {
    let (store, _database) = ready().await;
    keys::a_row_is_replaced_only_as_it_was_seen(&store).await;
}

#[tokio::test]
async fn rows_are_listed_in_their_order() {
    let (store, _database) = ready().await;
    keys::rows_are_listed_in_their_order(&store).await;
}

/// Everything that the tables hold, as text, in which bytes are in hexadecimal digits.
async fn dump(database: &Database) -> String {
    let mut connection = stranger(database).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname",
    )
    .fetch_all(&mut connection)
    .await
    .expect("there are tables");
    let mut all = String::new();
    for table in tables {
        let rows = sqlx::AssertSqlSafe(format!(
            "SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM \"{table}\" AS t"
        ));
        all +=
            &sqlx::query_scalar::<_, String>(rows).fetch_one(&mut connection).await.expect("it can be read");
    }
    all
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text can be written to");
        text
    })
}

#[tokio::test]
async fn who_is_forgotten_is_in_no_row() {
    let (store, database) = ready().await;
    let needles = keys::who_is_forgotten_is_gone(store.clone(), store).await;
    let dump = dump(&database).await;
    assert!(dump.contains(&hexadecimal(b"gold")), "what is not personal is found by this search");
    for needle in needles {
        assert!(!dump.contains(&hexadecimal(&needle)));
        assert!(!dump.contains(&*String::from_utf8_lossy(&needle)));
    }
}
