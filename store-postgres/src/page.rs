//! Pages: rows as they come, until there are as many events, or as many bytes, as were asked for.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use factum_core::{RecordedEvent, StoreError};
use futures_util::{Stream, StreamExt, TryStreamExt};

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

/// What may be a row of an event.
pub(crate) trait Row {
    fn into_row(self) -> Option<EventRow>;
}

impl Row for EventRow {
    fn into_row(self) -> Option<EventRow> {
        Some(self)
    }
}

type Rows<'c, R> = Pin<Box<dyn Stream<Item = Result<R, sqlx::Error>> + Send + 'c>>;

/// The next row.
pub(crate) async fn next<R>(rows: &mut Rows<'_, R>) -> Result<Option<R>, sqlx::Error> {
    rows.try_next().await
}

/// Reads rows into events, up to the budget.
pub(crate) async fn fill<R: Row>(
    database: &Database,
    operation: &'static str,
    budget: Budget<'_>,
    mut rows: Rows<'_, R>,
) -> Result<Filled, StoreError> {
    let read = async {
        let mut found: Vec<EventRow> = Vec::new();
        let (mut bytes, mut is_drained, mut is_last) = (0_usize, true, true);
        while let Some(row) = rows.next().await {
            let Some(row) = row?.into_row() else { continue };
            bytes = bytes.saturating_add(row.payload.len());
            if found.len() == budget.rows {
                // It was asked for only to tell that the stream goes on.
                is_last = false;
            } else if !found.is_empty() && bytes > budget.bytes {
                is_drained = false;
                is_last = false;
                break;
            } else {
                found.push(row);
            }
        }
        Ok((found, is_drained, is_last))
    };
    let (found, is_drained, is_last) = database.within(operation, read).await?;
    if let Some(average) = found.iter().map(|row| row.payload.len()).sum::<usize>().checked_div(found.len()) {
        budget.payload_bytes.store(average, Ordering::Relaxed);
    }
    let events = found.into_iter().map(|row| row.into_event(operation)).collect::<Result<_, _>>()?;
    Ok(Filled { events, is_last, is_drained })
}
