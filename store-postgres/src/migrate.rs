//! Bringing the tables to the shape this program needs, and looking whether they have it.

use factum_core::{StoreError, StoreErrorKind};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

use crate::database::Database;
use crate::error::{Fault, migration_error};

/// The folder `migrations`, the same that `sqlx migrate run` applies. `sqlx.toml` says in which table they are noted.
static MIGRATOR: Migrator = sqlx::migrate!();

const MIGRATE: &str = "migrate";
const UNDEFINED_TABLE: &str = "42P01";

pub(crate) async fn migrate(database: &Database) -> Result<(), StoreError> {
    if database.is_pooled() {
        return Err(StoreError::because(StoreErrorKind::Other, MIGRATE, Fault::Pooled));
    }
    // A connection of its own, closed afterwards: when it fails, sqlx forgets to unlock.
    let mut connection = database.lease_unchecked(MIGRATE).await?.detach();
    let found = last_applied(database, &mut connection, MIGRATE).await?;
    if let Err(kind @ StoreErrorKind::NewerThanProgram { .. }) = check(found) {
        return Err(StoreError::new(kind, MIGRATE));
    }
    // Without a time limit, here and at the server, since a migration takes as long as the table is large.
    let unlimited = sqlx::raw_sql("SET statement_timeout = 0").execute(&mut connection);
    database.within(MIGRATE, unlimited).await?;
    MIGRATOR
        .run_direct(None, &mut connection, false)
        .await
        .map_err(|error| migration_error(MIGRATE, error))?;
    database.within(MIGRATE, connection.close()).await
}

/// The last migration that this program knows, and needs.
pub(crate) fn last_known() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// The last migration that the database has.
pub(crate) async fn last_applied(
    database: &Database,
    connection: &mut PgConnection,
    operation: &'static str,
) -> Result<Option<i64>, StoreError> {
    let found = async {
        match sqlx::query_file_scalar!("src/sql/last_migration.sql").fetch_one(connection).await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(None),
            outcome => outcome,
        }
    };
    database.within(operation, found).await
}

/// Whether this program can work with a database whose last migration is `found`.
pub(crate) fn check(found: Option<i64>) -> Result<(), StoreErrorKind> {
    let known = last_known();
    match found {
        Some(found) if found > known => Err(StoreErrorKind::NewerThanProgram { found, known }),
        Some(found) if found == known => Ok(()),
        _ => Err(StoreErrorKind::NotMigrated { found, needed: known }),
    }
}
