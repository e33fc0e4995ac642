//! Pages: rows as they come, until there are as many events, or as many bytes, as were asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use factum_core::store::Recent;
use factum_core::{RecordedEvent, StoreError};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement};
use sqlx::{Either, Execute, Postgres, SqlStr};

use crate::database::Database;
use crate::row::EventRow;

/// How much a page may have.
pub(crate) struct Budget<'a> {
    /// As many rows as were asked for, or fewer, if the last payloads were so large that more would not fit.
    rows: usize,
    bytes: usize,
    /// How large payloads are, about.
    payload_bytes: &'a AtomicUsize,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limit: usize, bytes: usize, payload_bytes: &'a AtomicUsize) -> Self {
        let likely = bytes / payload_bytes.load(Ordering::Relaxed).max(1);
        Self { rows: limit.max(1).min(likely.max(1)), bytes, payload_bytes }
    }

    /// How many rows to ask for. What does not fit has to be thrown away, together with the connection it is coming
    /// through.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// A page that was read.
pub(crate) struct Filled {
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether the database had no more than was asked for, so that nothing is left after these.
    pub(crate) is_last: bool,
    /// Whether all rows of the answer were read, so that the connection can be used again.
    pub(crate) is_drained: bool,
}

/// The rows of an answer, as they come.
pub(crate) type Rows<'c> = BoxStream<'c, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>;

/// A statement that is made by one of sqlx's macros, which check it against the tables, and whose rows are read as they
/// are: the macro's own way makes a stream around the stream, and a copy of each text.
///
/// It says that it stays prepared. sqlx says so too, but not where such a statement is run in this way: it looks for its
/// arguments, and they have been taken by then (sqlx 0.9).
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<'q, Q: Execute<'q, Postgres>> Execute<'q, Postgres> for Prepared<Q> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// The next row.
pub(crate) async fn next(rows: &mut Rows<'_>) -> Result<Option<PgRow>, sqlx::Error> {
    while let Some(next) = rows.try_next().await? {
        if let Either::Right(row) = next {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Reads rows into events, up to the budget. The columns of the events begin with the one with the index `first`.
pub(crate) async fn fill(
    database: &Database,
    operation: &'static str,
    budget: Budget<'_>,
    first: usize,
    mut rows: Rows<'_>,
) -> Result<Filled, StoreError> {
    let read = async {
        let (mut events, mut fault, mut recent) = (Vec::new(), None, Recent::default());
        let (mut bytes, mut rows_found) = (0_usize, 0_usize);
        let (mut is_drained, mut is_last) = (true, true);
        while let Some(row) = next(&mut rows).await? {
            if rows_found == budget.rows {
                // It was asked for only to tell that the stream goes on.
                is_last = false;
                continue;
            }
            let row = EventRow::at(first, &row)?;
            if rows_found > 0 && bytes.saturating_add(row.payload.len()) > budget.bytes {
                is_drained = false;
                is_last = false;
                break;
            }
            bytes = bytes.saturating_add(row.payload.len());
            rows_found += 1;
            // What cannot be read is told when the answer is drained, because the connection is in order.
            match row.into_event(operation, &mut recent) {
                Ok(event) => events.push(event),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        if let Some(average) = bytes.checked_div(rows_found) {
            budget.payload_bytes.store(average, Ordering::Relaxed);
        }
        Ok((Filled { events, is_last, is_drained }, fault))
    };
    let (filled, fault) = database.within(operation, read).await?;
    fault.map_or(Ok(filled), Err)
}
