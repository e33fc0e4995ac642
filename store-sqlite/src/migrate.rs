//! The schema: bringing it to where this program needs it, and refusing to work with another.

use factum_core::{StoreError, StoreErrorKind};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnection;

use crate::error::store_error;

/// The folder `migrations`; `sqlx.toml` says in which table they are noted.
static MIGRATOR: Migrator = sqlx::migrate!();

/// Applies what is missing, in the transaction that `connection` is in.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    refuse_newer(found(connection, "migrate").await?, "migrate")?;
    MIGRATOR.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            store_error("migrate", error)
        }
        other => StoreError::because(StoreErrorKind::Other, "migrate", other),
    })
}

/// Refuses a database that is not where this program needs it.
pub(crate) async fn check(
    connection: &mut SqliteConnection,
    operation: &'static str,
) -> Result<(), StoreError> {
    let found = found(connection, operation).await?;
    refuse_newer(found, operation)?;
    if found == Some(last()) {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::NotMigrated { found, needed: last() }, operation))
}

/// The last migration the database has.
async fn found(
    connection: &mut SqliteConnection,
    operation: &'static str,
) -> Result<Option<i64>, StoreError> {
    let noted: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_factum_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| store_error(operation, error))?;
    if !noted {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _factum_migrations WHERE success")
        .fetch_one(connection)
        .await
        .map_err(|error| store_error(operation, error))
}

/// The last migration this program has.
fn last() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().expect("there is a first migration")
}

fn refuse_newer(found: Option<i64>, operation: &'static str) -> Result<(), StoreError> {
    match found {
        Some(found) if found > last() => {
            Err(StoreError::new(StoreErrorKind::NewerThanProgram { found, known: last() }, operation))
        }
        _ => Ok(()),
    }
}
