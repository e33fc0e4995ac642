//! Reading and writing the whole of a store as it is.

use async_trait::async_trait;
use factum_core::transfer::check::{LogCheck, check_records};
use factum_core::transfer::{Import, Record, Transfer, TransferError};
use factum_core::{Position, RecordedEvent, StoreError, StoreErrorKind, Transactional};
use sqlx::sqlite::SqliteArguments;

use crate::SqliteStore;
use crate::append;
use crate::checkpoint::SqliteTx;
use crate::error::is_constraint;
use crate::read;
use crate::row::{self, Written};
use crate::script::{self, Values};

const READ: &str = "read records";
const WRITE: &str = "write records";

/// How many records are checked at a time.
const PAGE_ROWS: i64 = 5_000;

#[async_trait]
impl Transfer for SqliteStore {
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let database = self.database();
        database.check_schema(READ).await?;
        let wanted = database.wanted(limit, bytes);
        let values = Values::default().and(read::column(after.0)).and(read::rows_max(wanted)).done();
        let rows = read::select(database, include_str!("sql/read_records.sql"), values).await?;
        let (mut records, mut sum) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            let record = row::record(row)?;
            sum += record.payload_bytes();
            if !records.is_empty() && sum > bytes {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        let database = self.database();
        database.check_schema(READ).await?;
        let rows =
            read::select(database, include_str!("sql/changes.sql"), SqliteArguments::default()).await?;
        let row = rows.first().ok_or_else(|| {
            StoreError::because(StoreErrorKind::Corrupt, READ, "the number of changes is missing")
        })?;
        row::count(row)
    }

    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        let database = self.database();
        database.check_schema(WRITE).await?;
        let mut import = SqliteImport { store: self.clone(), tx: self.begin().await?, last: Position::START };
        let answers = import.run(include_str!("sql/log_end.sql"), SqliteArguments::default()).await;
        let end = answers.map_err(|(error, _)| error)?.into_iter().flatten().next();
        let found = end.as_ref().map(|row| row::position(row, WRITE)).transpose()?.unwrap_or_default();
        if found > Position::START {
            return Err(TransferError::NotEmpty { found });
        }
        Ok(Box::new(import))
    }
}

/// An import in the one transaction that writes.
struct SqliteImport {
    store: SqliteStore,
    tx: SqliteTx,
    /// The last position that was written.
    last: Position,
}

#[async_trait]
impl Import for SqliteImport {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        check_records(&records, self.last)?;
        let Some(first) = records.first().map(Record::position) else { return Ok(()) };
        self.last = records.last().map_or(first, Record::position);
        let events = records.iter().filter_map(|record| match record {
            Record::Live(event) | Record::Archived(event) => Some(event),
            Record::Erased(_) => None,
        });
        if let Some(values) = append::tag_values(events)? {
            self.run(append::INSERT_TAGS, values).await.map_err(|error| unordered(error, first))?;
        }
        let mut live: Vec<RecordedEvent> = Vec::with_capacity(records.len());
        for record in records {
            let at = record.position();
            if let Record::Live(event) = record {
                live.push(event);
                continue;
            }
            let values = append::values_apart(&record)?;
            let written = self.run(include_str!("sql/set_apart.sql"), values).await;
            written.map_err(|error| unordered(error, at))?;
        }
        for (sql, values) in append::inserts(&live) {
            self.run(sql, values?).await.map_err(|error| unordered(error, first))?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), TransferError> {
        self.check().await?;
        let Self { store, tx, .. } = *self;
        Ok(store.commit(tx).await?)
    }
}

impl SqliteImport {
    /// Looks at all that was written, in pages.
    async fn check(&mut self) -> Result<(), TransferError> {
        let mut check = LogCheck::default();
        let mut last: Option<Written> = None;
        loop {
            // No name is empty, so all streams come after the empty ones.
            let (category, id, version) = last.as_ref().map_or(("", "", 0), |last| {
                (last.stream.category(), last.stream.id(), read::column(last.version.0))
            });
            let values = Values::default().and(category).and(id).and(version).and(PAGE_ROWS).done();
            let answers = self.run(include_str!("sql/by_stream.sql"), values).await;
            let rows: Vec<_> = answers.map_err(|(error, _)| error)?.into_iter().flatten().collect();
            let Some(end) = rows.last() else { return check.end() };
            for row in &rows {
                Written::of(row)?.check(&mut check)?;
            }
            last = Some(Written::of(end)?);
        }
    }

    /// Says beside the error whether it is one of a constraint.
    async fn run(
        &mut self,
        sql: &'static str,
        values: SqliteArguments,
    ) -> Result<script::Answers, (StoreError, bool)> {
        match script::run(&mut self.tx, sql, values).await {
            Ok(answers) => Ok(answers),
            Err(fault) => {
                let breaks_order = is_constraint(&fault.error);
                Err((self.store.database().explain(WRITE, fault.error).await, breaks_order))
            }
        }
    }
}

/// Of ids and versions that are there twice in one table, the constraints know.
fn unordered((error, breaks_order): (StoreError, bool), at: Position) -> TransferError {
    if breaks_order && !matches!(error.kind(), StoreErrorKind::Full) {
        TransferError::Unordered { at }
    } else {
        error.into()
    }
}
