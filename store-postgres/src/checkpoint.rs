//! Checkpoints, alone and with the work they stand for.

use async_trait::async_trait;
use factum_core::{Checkpoint, Checkpoints, EventId, Position, StoreError, StoreErrorKind};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::PostgresStore;
use crate::database::Database;
use crate::row::{column, number};

const CHECKPOINT: &str = "read checkpoint";
pub(crate) const MOVE_CHECKPOINT: &str = "move checkpoint";

#[async_trait]
impl Checkpoints for PostgresStore {
    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        let database = self.database();
        database
            .retrying(CHECKPOINT, || async {
                let mut lease = database.lease(CHECKPOINT).await?;
                let found = read(database, CHECKPOINT, &mut lease, subscription).await?;
                lease.put_back();
                let Some((checkpoint, found)) = found else { return Ok(Checkpoint::START) };
                checkpoint.check(found.map(EventId), CHECKPOINT)?;
                Ok(checkpoint)
            })
            .await
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        let database = self.database();
        let mut lease = database.lease(MOVE_CHECKPOINT).await?;
        let moved = compare_and_set(&mut lease, subscription, from, to);
        let outcome = match database.within_commit(MOVE_CHECKPOINT, moved).await? {
            Moved::Done { .. } => lease.commit(database, MOVE_CHECKPOINT).await,
            Moved::Not(facts) => Err(facts.explain(database, &mut lease, subscription, from, to).await?),
        };
        lease.put_back();
        outcome
    }
}

/// What came of a move.
pub(crate) enum Moved {
    /// It was moved; whether something was appended in the same transaction.
    Done {
        has_appended: bool,
    },
    Not(Facts),
}

/// Why a checkpoint was not moved: the events that the log has where the move began and where it should end.
pub(crate) struct Facts {
    found_from: Option<Uuid>,
    found_to: Option<Uuid>,
}

/// Moves the checkpoint, if it is at `from`, and `from` and `to` are of this log.
pub(crate) async fn compare_and_set(
    connection: &mut PgConnection,
    subscription: &str,
    from: Checkpoint,
    to: Checkpoint,
) -> Result<Moved, sqlx::Error> {
    let encode =
        |position: Position| i64::try_from(position.0).map_err(|error| sqlx::Error::Encode(error.into()));
    let id = |checkpoint: Checkpoint| checkpoint.event_id.map(|id| id.0);
    let row = sqlx::query_file!(
        "src/sql/move_checkpoint.sql",
        subscription,
        column(from.position.0),
        id(from) as Option<Uuid>,
        encode(to.position)?,
        id(to) as Option<Uuid>,
    )
    .fetch_one(connection)
    .await?;
    Ok(if row.is_moved {
        Moved::Done { has_appended: row.has_appended }
    } else {
        Moved::Not(Facts { found_from: row.found_from, found_to: row.found_to })
    })
}

impl Facts {
    /// The error that says what is wrong.
    pub(crate) async fn explain(
        self,
        database: &Database,
        connection: &mut PgConnection,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<StoreError, StoreError> {
        let found = read(database, MOVE_CHECKPOINT, connection, subscription).await?;
        let actual = found.map_or(Position::START, |(checkpoint, _)| checkpoint.position);
        if actual == from.position {
            from.check(self.found_from.map(EventId), MOVE_CHECKPOINT)?;
            to.check(self.found_to.map(EventId), MOVE_CHECKPOINT)?;
        }
        let kind = StoreErrorKind::CheckpointMoved { expected: from.position, actual };
        Ok(StoreError::new(kind, MOVE_CHECKPOINT))
    }
}

/// Where the checkpoint is, and the event that the log has there.
async fn read(
    database: &Database,
    operation: &'static str,
    connection: &mut PgConnection,
    subscription: &str,
) -> Result<Option<(Checkpoint, Option<Uuid>)>, StoreError> {
    let row = sqlx::query_file!("src/sql/checkpoint.sql", subscription).fetch_optional(connection);
    let row = database.within(operation, row).await?;
    Ok(row.map(|row| {
        let position = Position(number(row.position));
        (Checkpoint { position, event_id: row.event_id.map(EventId) }, row.found)
    }))
}
