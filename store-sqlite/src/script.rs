//! Several SQL statements as one message to the connection's thread.
//!
//! sqlx runs every SQLite connection on a thread of its own, and the way there and back (20 to 40 µs) costs more than
//! most statements. A text of several statements makes the way once.

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Either, Encode, Executor, Sqlite, SqlitePool, Type};

use crate::error::Fault;

/// The rows of each statement of a script, in order.
pub(crate) type Answers = Vec<Vec<SqliteRow>>;

/// Runs the statements of `sql`, which share `arguments` by number, up to the first that fails.
///
/// # Cancel safety
///
/// Dropping the future stops the script after any of its statements.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    sql: &'static str,
    arguments: SqliteArguments,
) -> Result<Answers, Fault> {
    tracing::trace!("a script goes to the writing connection");
    let mut results = connection.fetch_many(sqlx::query_with(sql, arguments));
    let mut answers = Vec::new();
    let mut rows = Vec::new();
    loop {
        match results.try_next().await {
            Ok(Some(Either::Right(row))) => rows.push(row),
            Ok(Some(Either::Left(_))) => answers.push(std::mem::take(&mut rows)),
            Ok(None) => return Ok(answers),
            Err(error) => return Err(Fault { statement: answers.len(), error }),
        }
    }
}

/// The rows of one statement, on any connection of `pool`.
pub(crate) async fn rows(
    pool: &SqlitePool,
    sql: &'static str,
    arguments: SqliteArguments,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    tracing::trace!("a statement goes to a reading connection");
    sqlx::query_with(sql, arguments).fetch_all(pool).await
}

/// Arguments, one after the other.
#[derive(Default)]
pub(crate) struct Values(SqliteArguments);

impl Values {
    /// Room for this many.
    pub(crate) fn with_capacity(values: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(values, 0);
        Self(arguments)
    }

    /// And `value`.
    pub(crate) fn and<'v>(mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> Self {
        self.0.add(value).expect("numbers, texts and bytes are SQLite's own types");
        self
    }

    pub(crate) fn done(self) -> SqliteArguments {
        self.0
    }
}
