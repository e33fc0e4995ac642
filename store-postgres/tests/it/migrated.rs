//! The promises of every store once more, on tables that an older program has made and used, and that were migrated.
//!
//! What it proves: what the migrations make of old tables behaves as what they make of nothing. The statements, and the functions
//! in the database, find the columns, constraints, indexes and sequence that they rely on, however these came about. That
//! old events are read as they were recorded, and followed by new ones, is another matter, and in `migrations`: promises need an
//! empty log, so the old rows are erased before the migration.

use factum_conformance::conformance;
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use sqlx::{Connection as _, PgConnection};

use crate::fixture::{On, Tables};
use crate::given::{migrations, run, server};

struct Migrated;

const ERASE: &str =
    "DELETE FROM factum_events; DELETE FROM factum_checkpoints; SELECT setval('factum_position', 1, false)";

impl Tables for Migrated {
    /// What an older program left, without its rows, and brought up: once for all promises, which get copies.
    async fn database() -> Database {
        let old = include_str!("../schemas/0002.sql");
        let checksums: Vec<_> =
            migrations().await.iter().map(|migration| migration.checksum.to_vec()).collect();
        let key = format!("factum-postgres from 0002 {old} {ERASE} {checksums:?}");
        let server = server();
        let filled = server.database_like(&key, async |url| {
            let mut connection = PgConnection::connect(url).await?;
            run(&mut connection, old).await;
            run(&mut connection, ERASE).await;
            run(&mut connection, "CREATE TABLE notes (note text NOT NULL)").await;
            connection.close().await?;
            let store = PostgresStore::connect(url).await?;
            store.migrate().await?;
            store.close().await;
            Ok(())
        });
        filled.await.unwrap_or_else(|error| panic!("{error}"))
    }
}

conformance!(On<Migrated>);
