//! The one server of a run, with full durability.

use factum_testkit::{Database, Postgres};
use sqlx_limit::{Connection, PgConnection};

use crate::contender::Answer;

/// A server with `fsync`, `synchronous_commit` and `full_page_writes` on.
#[derive(Debug)]
pub(crate) struct Server(Postgres);

impl Server {
    /// The one that `factum-testkit` starts, or which it is told of.
    pub(crate) async fn start() -> Answer<Self> {
        let server = tokio::task::spawn_blocking(Postgres::durable).await??;
        Ok(Self(server))
    }

    /// An empty database.
    pub(crate) async fn database(&self) -> Answer<Database> {
        Ok(self.0.database().await?)
    }

    /// What it says of itself: its version, and the settings that decide.
    pub(crate) async fn described(&self) -> Answer<Vec<(String, String)>> {
        const SETTINGS: [&str; 7] = [
            "server_version",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            "max_wal_size",
            "max_connections",
        ];
        let database = self.database().await?;
        let mut connection = PgConnection::connect(database.url()).await?;
        let mut described = Vec::new();
        for setting in SETTINGS {
            let value = sqlx_limit::query_scalar("SELECT current_setting($1)").bind(setting);
            described.push((setting.to_owned(), value.fetch_one(&mut connection).await?));
        }
        connection.close().await?;
        Ok(described)
    }
}

/// Does what the server would do by itself, some time in the middle of a turn.
pub(crate) async fn settle(database: &Database) -> Answer<()> {
    run(database, "VACUUM ANALYZE").await?;
    run(database, "CHECKPOINT").await
}

/// Runs a statement, or several, as the superuser that every contender is.
pub(crate) async fn run(database: &Database, sql: &'static str) -> Answer<()> {
    let mut connection = PgConnection::connect(database.url()).await?;
    sqlx_limit::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Puts a pause of 0 to 30 ms between what is inserted into a table and its commit, or takes it away again.
pub(crate) async fn pause_before_commit(database: &Database, table: &str, pause: bool) -> Answer<()> {
    const FUNCTION: &str =
        "CREATE OR REPLACE FUNCTION pause_before_commit() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_sleep(random() * 0.03); RETURN NULL; END'";
    let mut connection = PgConnection::connect(database.url()).await?;
    let trigger = if pause {
        // A deferred constraint is looked at when the transaction commits, so the contender's own code is as it was.
        format!(
            "CREATE CONSTRAINT TRIGGER pause_before_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION pause_before_commit()"
        )
    } else {
        format!("DROP TRIGGER IF EXISTS pause_before_commit ON {table}")
    };
    sqlx_limit::raw_sql(FUNCTION).execute(&mut connection).await?;
    sqlx_limit::raw_sql(sqlx_limit::AssertSqlSafe(trigger)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
