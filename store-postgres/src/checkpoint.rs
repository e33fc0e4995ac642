//! Checkpoints, alone and with the work they stand for.

use async_trait::async_trait;
use factum_core::{
    Advance, Checkpoint, Checkpoints, EventId, Partition, Position, StoreError, StoreErrorKind, Transactional,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::PostgresStore;
use crate::database::Database;
use crate::dead_letter;
use crate::row::{column, number};

const CHECKPOINT: &str = "read checkpoint";
pub(crate) const MOVE_CHECKPOINT: &str = "move checkpoint";

#[async_trait]
impl Checkpoints for PostgresStore {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        let database = self.database();
        database
            .retrying(CHECKPOINT, || async {
                let mut lease = database.lease(CHECKPOINT).await?;
                let found = read(database, CHECKPOINT, &mut lease, partition).await?;
                lease.put_back();
                let Some(kept) = found else { return Ok(Checkpoint::START) };
                kept.checkpoint.check(kept.found, CHECKPOINT)?;
                Ok(kept.checkpoint)
            })
            .await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        if !step.parked.is_empty() || !step.settled.is_empty() {
            let tx = self.begin().await?;
            return self.commit_with(tx, step).await;
        }
        let database = self.database();
        let mut lease = database.lease(MOVE_CHECKPOINT).await?;
        let moved = compare_and_set(&mut lease, &step);
        let outcome = match database.within_commit(MOVE_CHECKPOINT, moved).await? {
            Moved::Done { .. } => lease.commit(database, MOVE_CHECKPOINT).await,
            Moved::Not(facts) => Err(facts.explain(database, &mut lease, &step).await?),
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

/// Makes a step in a transaction that goes on: all of it, or nothing and then the transaction can only be rolled back.
pub(crate) async fn step_in(
    database: &Database,
    connection: &mut PgConnection,
    step: &Advance,
) -> Result<Moved, StoreError> {
    let moved = database.within(MOVE_CHECKPOINT, compare_and_set(connection, step)).await?;
    if matches!(moved, Moved::Done { .. }) {
        let subscription = step.partition.subscription();
        if !step.parked.is_empty() {
            let parked = dead_letter::park(connection, subscription, &step.parked);
            database.within(MOVE_CHECKPOINT, parked).await?;
        }
        if !step.settled.is_empty() {
            let settled: Vec<_> = step.settled.iter().map(|position| column(position.0)).collect();
            let settled = sqlx::query_file!("src/sql/settle.sql", subscription, &settled).execute(connection);
            database.within(MOVE_CHECKPOINT, settled).await?;
        }
    }
    Ok(moved)
}

/// Reads a checkpoint, and locks it where it is.
pub(crate) async fn hold(
    database: &Database,
    connection: &mut PgConnection,
    partition: &Partition,
) -> Result<Checkpoint, StoreError> {
    let (subscription, partition_index) = (partition.subscription(), index(partition.index()));
    let locked = sqlx::query_file!("src/sql/hold_checkpoint.sql", subscription, partition_index);
    database.within(CHECKPOINT, locked.fetch_optional(&mut *connection)).await?;
    // Only what is read after the lock is what it holds.
    let Some(kept) = read(database, CHECKPOINT, connection, partition).await? else {
        return Ok(Checkpoint::START);
    };
    kept.checkpoint.check(kept.found, CHECKPOINT)?;
    Ok(kept.checkpoint)
}

/// Moves the checkpoint, if it is where it is believed to be, if both ends are of this log, and if nobody else has the lease.
async fn compare_and_set(connection: &mut PgConnection, step: &Advance) -> Result<Moved, sqlx::Error> {
    let encode =
        |position: Position| i64::try_from(position.0).map_err(|error| sqlx::Error::Encode(error.into()));
    let id = |checkpoint: Checkpoint| checkpoint.event_id.map(|id| id.0);
    let Advance { partition, from, to, token, .. } = step;
    let row = sqlx::query_file!(
        "src/sql/move_checkpoint.sql",
        partition.subscription(),
        column(from.position.0),
        id(*from) as Option<Uuid>,
        encode(to.position)?,
        id(*to) as Option<Uuid>,
        index(partition.index()),
        index(partition.of()),
        token.map(|token| column(token.0)) as Option<i64>,
    )
    .fetch_one(connection)
    .await?;
    Ok(if row.is_moved {
        Moved::Done { has_appended: row.has_appended }
    } else {
        Moved::Not(Facts { found_from: row.found_from, found_to: row.found_to })
    })
}

/// A number of partitions as a column holds it. Nobody has more of them than that.
pub(crate) fn index(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Facts {
    /// The error that says what is wrong.
    pub(crate) async fn explain(
        self,
        database: &Database,
        connection: &mut PgConnection,
        step: &Advance,
    ) -> Result<StoreError, StoreError> {
        let Advance { partition, from, to, token, .. } = step;
        let kept = read(database, MOVE_CHECKPOINT, connection, partition).await?;
        let may_move = match (token, &kept) {
            (Some(token), Some(kept)) => kept.has_holder && kept.token == token.0,
            (Some(_), None) => false,
            (None, kept) => !kept.as_ref().is_some_and(|kept| kept.is_leased),
        };
        if !may_move {
            return Ok(StoreError::new(StoreErrorKind::LeaseLost, MOVE_CHECKPOINT));
        }
        let actual = kept.map_or(Position::START, |kept| kept.checkpoint.position);
        if actual == from.position {
            from.check(self.found_from.map(EventId), MOVE_CHECKPOINT)?;
            to.check(self.found_to.map(EventId), MOVE_CHECKPOINT)?;
        }
        let kind = StoreErrorKind::CheckpointMoved { expected: from.position, actual };
        Ok(StoreError::new(kind, MOVE_CHECKPOINT))
    }
}

/// What is kept of a partition.
struct Kept {
    checkpoint: Checkpoint,
    /// The event that the log has there.
    found: Option<EventId>,
    token: u64,
    /// Whether somebody has the lease now, and whether somebody has it or had it last.
    is_leased: bool,
    has_holder: bool,
}

/// Where the checkpoint is.
async fn read(
    database: &Database,
    operation: &'static str,
    connection: &mut PgConnection,
    partition: &Partition,
) -> Result<Option<Kept>, StoreError> {
    let row = sqlx::query_file!("src/sql/checkpoint.sql", partition.subscription(), index(partition.index()))
        .fetch_optional(connection);
    let Some(row) = database.within(operation, row).await? else { return Ok(None) };
    check_partitions(row.partitions, partition.of(), operation)?;
    if row.partition != index(partition.index()) {
        return Ok(None);
    }
    let position = Position(number(row.position));
    Ok(Some(Kept {
        checkpoint: Checkpoint { position, event_id: row.event_id.map(EventId) },
        found: row.found.map(EventId),
        token: number(row.token),
        is_leased: row.is_leased,
        has_holder: row.has_holder,
    }))
}

/// Refuses to split the work otherwise than it is.
pub(crate) fn check_partitions(found: i32, wanted: u32, operation: &'static str) -> Result<(), StoreError> {
    if found == index(wanted) {
        return Ok(());
    }
    let found = u32::try_from(found).unwrap_or_default();
    Err(StoreError::new(StoreErrorKind::OtherPartitions { found, wanted }, operation))
}
