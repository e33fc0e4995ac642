//! Reading and writing the whole of a store as it is.

use async_trait::async_trait;
use factum_core::transfer::{Record, Transfer, TransferError, check_order};
use factum_core::{Position, RecordedEvent, StoreError, StoreErrorKind, Transactional};
use sqlx::sqlite::SqliteArguments;

use crate::SqliteStore;
use crate::append;
use crate::checkpoint::SqliteTx;
use crate::error::is_constraint;
use crate::read;
use crate::row;
use crate::script::{self, Values};

const READ: &str = "read records";
const WRITE: &str = "write records";

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

    async fn write_records(&self, records: Vec<Record>) -> Result<(), TransferError> {
        let database = self.database();
        database.check_schema(WRITE).await?;
        let mut tx = self.begin().await?;
        let answers = self.write(&mut tx, include_str!("sql/log_end.sql"), SqliteArguments::default()).await;
        let end = answers.map_err(|(error, _)| error)?.into_iter().flatten().next();
        check_order(
            &records,
            end.as_ref().map(|row| row::position(row, "write records")).transpose()?.unwrap_or_default(),
        )?;
        let first = records.first().map(Record::position).unwrap_or_default();
        let mut live: Vec<RecordedEvent> = Vec::with_capacity(records.len());
        for record in records {
            let at = record.position();
            if let Record::Live(event) = record {
                live.push(event);
                continue;
            }
            let values = append::values_apart(&record)?;
            let written = self.write(&mut tx, include_str!("sql/set_apart.sql"), values).await;
            written.map_err(|error| unordered(error, at))?;
        }
        for (sql, values) in append::inserts(&live) {
            self.write(&mut tx, sql, values?).await.map_err(|error| unordered(error, first))?;
        }
        Ok(self.commit(tx).await?)
    }
}

impl SqliteStore {
    /// Says beside the error whether it is one of a constraint.
    async fn write(
        &self,
        tx: &mut SqliteTx,
        sql: &'static str,
        values: SqliteArguments,
    ) -> Result<script::Answers, (StoreError, bool)> {
        match script::run(tx, sql, values).await {
            Ok(answers) => Ok(answers),
            Err(fault) => {
                let breaks_order = is_constraint(&fault.error);
                Err((self.database().explain(WRITE, fault.error).await, breaks_order))
            }
        }
    }
}

/// Of the laws of a log, the constraints know.
fn unordered((error, breaks_order): (StoreError, bool), at: Position) -> TransferError {
    if breaks_order && !matches!(error.kind(), StoreErrorKind::Full) {
        TransferError::Unordered { at }
    } else {
        error.into()
    }
}
