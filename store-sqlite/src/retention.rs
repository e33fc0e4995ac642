//! Streams as a whole: deleted, archived, restored and truncated, each in one transaction of the connection that writes.

use async_trait::async_trait;
use chrono::{SubsecRound, Utc};
use factum_core::retention::{
    Closing, RESTORED, Retention, Step, judge_closing, judge_restoring, judge_truncation,
};
use factum_core::store::{Appended, Cursor, ReadStream, Recent, StreamPage};
use factum_core::{
    AppendError, EventId, Expected, RecordedEvent, StoreError, StreamId, Transactional, Version,
};
use sqlx::sqlite::SqliteArguments;

use crate::SqliteStore;
use crate::checkpoint::SqliteTx;
use crate::pack::{PageQuery, Reader, page_query};
use crate::read;
use crate::row;
use crate::script::{self, Values};

const ARCHIVED: PageQuery = page_query!("sql/read_archived.sql");
const ARCHIVED_BACK: PageQuery = page_query!("sql/read_archived_back.sql");

const RETENTION: &str = "set apart";

#[async_trait]
impl Retention for SqliteStore {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.close_stream(stream, expected, Closing::Deleted).await
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.close_stream(stream, expected, Closing::Archived).await
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        let mut tx = self.begin().await?;
        let last = self.last_event(&mut tx, stream).await?;
        match judge_restoring(stream, last.as_ref())? {
            Step::Done(answer) => Ok(answer),
            Step::Mark(version) => {
                self.mark(tx, stream, include_str!("sql/restore.sql"), version, RESTORED).await
            }
        }
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        let mut tx = self.begin().await?;
        let last = self.last_event(&mut tx, stream).await?;
        judge_truncation(stream, last.as_ref(), before)?;
        let values = Values::default().and(stream.category()).and(stream.id());
        let values = values.and(read::column(before.0.saturating_sub(1))).done();
        self.run(&mut tx, include_str!("sql/truncate.sql"), values).await?;
        Ok(self.commit(tx).await?)
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let database = self.database();
        database.check_schema("read").await?;
        // Two statements, since one that reads either way sorts all of the stream for each page.
        let query = match read.cursor {
            Cursor::After(_) => &ARCHIVED,
            Cursor::Before(_) => &ARCHIVED_BACK,
        };
        read::read_stream_by(database, Reader::Any(&database.readers), query, read).await
    }
}

impl SqliteStore {
    async fn close_stream(
        &self,
        stream: &StreamId,
        expected: Expected,
        closing: Closing,
    ) -> Result<Appended, AppendError> {
        let mut tx = self.begin().await?;
        let last = self.last_event(&mut tx, stream).await?;
        let version = match judge_closing(stream, last.as_ref(), expected, closing)? {
            Step::Done(answer) => return Ok(answer),
            Step::Mark(version) => version,
        };
        let sql = match closing {
            Closing::Deleted => include_str!("sql/delete.sql"),
            Closing::Archived => include_str!("sql/archive.sql"),
        };
        self.mark(tx, stream, sql, version, closing.event_name()).await
    }

    async fn last_event(
        &self,
        tx: &mut SqliteTx,
        stream: &StreamId,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        self.database().check_schema(RETENTION).await?;
        let values = Values::default().and(stream.category()).and(stream.id()).done();
        let answers = self.run(tx, include_str!("sql/last_event.sql"), values).await?;
        answers
            .iter()
            .flatten()
            .next()
            .map(|row| row::event_of(stream, row, &mut Recent::default()))
            .transpose()
    }

    /// Does what `sql` says, records the event that says so, and commits.
    async fn mark(
        &self,
        mut tx: SqliteTx,
        stream: &StreamId,
        sql: &'static str,
        version: Version,
        name: &'static str,
    ) -> Result<Appended, AppendError> {
        let values = Values::default()
            .and(stream.category())
            .and(stream.id())
            .and(&EventId::new().0.as_bytes()[..])
            .and(read::column(version.0))
            .and(name)
            .and(Utc::now().trunc_subsecs(6).timestamp_micros())
            .done();
        self.run(&mut tx, sql, values).await?;
        let marked = self.last_event(&mut tx, stream).await?;
        self.commit(tx).await?;
        Ok(marked.as_ref().map(Appended::from).expect("it was recorded just now"))
    }

    async fn run(
        &self,
        tx: &mut SqliteTx,
        sql: &'static str,
        values: SqliteArguments,
    ) -> Result<script::Answers, StoreError> {
        match script::run(tx, sql, values).await {
            Ok(answers) => Ok(answers),
            Err(fault) => Err(self.database().explain(RETENTION, fault.error).await),
        }
    }
}
