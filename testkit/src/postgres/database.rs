//! Databases on a server: fresh ones, and copies of a template.

use std::{
    error::Error as StdError,
    fmt, mem, thread,
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Error, Postgres};
use crate::{random, url};

/// How long to wait for a server that is busy: recovering, or out of connections.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database for one test, which nobody else uses.
///
/// Dropping it deletes the database, together with connections that are still open. That blocks for some milliseconds and
/// ignores errors; [`Database::drop`] reports them.
pub struct Database {
    name: String,
    url: String,
    maintenance_url: String,
}

impl Database {
    /// Where to connect: a URL with everything in it, also the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Deletes the database, also when connections to it are open.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn drop(mut self) -> Result<(), Error> {
        // An empty name tells the destructor that nothing is left to do.
        let name = mem::take(&mut self.name);
        drop_database(&self.maintenance_url, &name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.name.is_empty() {
            return;
        }
        // Databases would vanish with the server, but a large test run keeps the server busy for long, each one takes some
        // 8 MB, and /tmp may be in memory. On a thread, because this one may be in a runtime; waited for, because the
        // process may end right after the test.
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                if let Ok(runtime) = runtime {
                    // A destructor has nobody to tell, and a test may have stopped the server.
                    let _ = runtime.block_on(drop_database(&self.maintenance_url, &self.name));
                }
            });
        });
    }
}

impl fmt::Debug for Database {
    /// Without the URL: `FACTUM_DATABASE_URL` may hold a password worth keeping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Postgres {
    /// A fresh, empty database.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn database(&self) -> Result<Database, Error> {
        let mut connection = self.connect().await?;
        // `template0` is empty whatever the administrator of an external server put into the other one.
        self.copy(&mut connection, "template0").await
    }

    /// A fresh copy of the template `key`, which `setup` fills once for all processes.
    ///
    /// The key has to change whenever that which `setup` does changes: a checksum of the migrations is a good one. `setup`
    /// has to close its connections before it returns. If it returns an error, or its process dies, the next caller starts
    /// over from an empty database.
    ///
    /// On a server of `FACTUM_DATABASE_URL` templates stay; they are called `factum_template_…`.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] with the error of `setup`, [`Error::SetupStillConnected`] if it left a connection open, or
    /// [`Error::Sql`] if the server refuses.
    pub async fn database_like<S>(&self, key: &str, setup: S) -> Result<Database, Error>
    where
        S: AsyncFnOnce(&str) -> Result<(), Box<dyn StdError + Send + Sync>>,
    {
        let mut connection = self.connect().await?;
        let template = template_name(&mut connection, key).await?;
        if !exists(&mut connection, &template).await? {
            // One process builds, the others wait here. If it dies, its connection ends, and with it the lock.
            lock(&mut connection, &template).await?;
            if !exists(&mut connection, &template).await? {
                self.build(&mut connection, &template, key, setup).await?;
            }
            unlock(&mut connection, &template).await?;
        }
        self.copy(&mut connection, &template).await
    }

    /// Fills the template under another name, and gives it its own when it is complete: a half-made one is never copied.
    async fn build<S>(
        &self,
        connection: &mut PgConnection,
        template: &str,
        key: &str,
        setup: S,
    ) -> Result<(), Error>
    where
        S: AsyncFnOnce(&str) -> Result<(), Box<dyn StdError + Send + Sync>>,
    {
        let unfinished = format!("{template}_new");
        execute(
            connection,
            "delete an unfinished template",
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await?;
        execute(connection, "create a template", format!("CREATE DATABASE {unfinished} TEMPLATE template0"))
            .await?;
        setup(&url::with_database(&self.maintenance_url, &unfinished))
            .await
            .map_err(|source| Error::Setup { key: key.to_owned(), source })?;

        // A connection to a template makes its copies fail, so there can be none from now on.
        execute(
            connection,
            "close a template",
            format!("ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false"),
        )
        .await?;
        let renamed = execute(
            connection,
            "rename a template",
            format!("ALTER DATABASE {unfinished} RENAME TO {template}"),
        )
        .await;
        match renamed {
            Err(Error::Sql { source: sqlx::Error::Database(error), .. })
                if error.code().as_deref() == Some(OBJECT_IN_USE) =>
            {
                Err(Error::SetupStillConnected { key: key.to_owned() })
            }
            other => other,
        }
    }

    async fn copy(&self, connection: &mut PgConnection, template: &str) -> Result<Database, Error> {
        let name = format!("factum_test_{}", random::text()?);
        execute(connection, "create a database", format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await?;
        let url = url::with_database(&self.maintenance_url, &name);
        Ok(Database { name, url, maintenance_url: self.maintenance_url.clone() })
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = connect(&self.maintenance_url).await?;
        if self.check_durable {
            refuse_unless_durable(&mut connection).await?;
        }
        Ok(connection)
    }
}

// Postgres' codes for what it refuses; its texts depend on the language.
const OBJECT_IN_USE: &str = "55006";
const CANNOT_CONNECT_NOW: &str = "57P03";
const TOO_MANY_CONNECTIONS: &str = "53300";

async fn connect(url: &str) -> Result<PgConnection, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => return Ok(connection),
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some(CANNOT_CONNECT_NOW | TOO_MANY_CONNECTIONS))
                    && Instant::now() < deadline =>
            {
                // Not the runtime's sleep: a test may have stopped its clock.
                thread::sleep(Duration::from_millis(50));
            }
            Err(source) => return Err(Error::Sql { action: "accept a connection", source }),
        }
    }
}

async fn refuse_unless_durable(connection: &mut PgConnection) -> Result<(), Error> {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| Error::Sql { action: "tell its settings", source })?;
        if value == "off" {
            return Err(Error::NotDurable { setting });
        }
    }
    Ok(())
}

/// A name that any two processes derive alike, and that fits into Postgres' 63 bytes.
async fn template_name(connection: &mut PgConnection, key: &str) -> Result<String, Error> {
    let statement = "SELECT 'factum_template_' || left(encode(sha256(convert_to($1, 'UTF8')), 'hex'), 40)";
    sqlx::query_scalar(statement)
        .bind(key)
        .fetch_one(connection)
        .await
        .map_err(|source| Error::Sql { action: "name a template", source })
}

async fn exists(connection: &mut PgConnection, database: &str) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(connection)
        .await
        .map_err(|source| Error::Sql { action: "look for a template", source })
}

async fn lock(connection: &mut PgConnection, template: &str) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_lock(hashtextextended($1, 0))")
        .bind(template)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|source| Error::Sql { action: "lock a template", source })
}

async fn unlock(connection: &mut PgConnection, template: &str) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))")
        .bind(template)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|source| Error::Sql { action: "unlock a template", source })
}

async fn drop_database(maintenance_url: &str, name: &str) -> Result<(), Error> {
    let mut connection = connect(maintenance_url).await?;
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    execute(&mut connection, "delete a database", statement).await
}

/// Runs a statement that takes no parameters. The names in it are made of letters, digits and underscores by us.
async fn execute(
    connection: &mut PgConnection,
    action: &'static str,
    statement: String,
) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|source| Error::Sql { action, source })
}
