//! Taking a snapshot: in the background of the command that made it due, for whom nobody waits.
//!
//! The state is loaded anew, and is not that of the command. So the command's answer waits for nothing, not even for the state
//! to become bytes; and what is kept is what was committed, also where a command was part of a transaction of which nobody
//! here knows whether it will be.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Turn;
use crate::aggregate::{Aggregate, Loaded};
use crate::error::BoxError;
use crate::repository::Repository;
use crate::store::EventStore;
use crate::stream::StreamId;

/// How long a command in a transaction is given to be committed, each time that it was not. Afterwards the next command that
/// finds a snapshot due tries again.
const PATIENCE: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(2)];

/// Takes a snapshot of the aggregate soon, if it is due when it was loaded, and says whether it was begun: else there are too
/// many under way, or nowhere to keep it.
pub(crate) fn take<A: Aggregate>(repository: &Repository<A>, stream: &StreamId, is_committed: bool) -> bool {
    let store = repository.store();
    let Some(turn) = store.snapshots().and_then(|snapshots| snapshots.turns().turn(stream)) else {
        tracing::debug!(%stream, "no snapshot is taken: others are");
        return false;
    };
    // Whoever runs commands without a runtime has no background.
    let Ok(runtime) = Handle::try_current() else { return false };
    let (repository, stream) = (repository.uncached(), stream.clone());
    runtime.spawn(async move {
        let patience: &[Duration] = if is_committed { &[Duration::ZERO] } else { &PATIENCE };
        if let Err(error) = try_to_take(&repository, &stream, patience, turn).await {
            tracing::warn!(error, %stream, "no snapshot was taken");
        }
    });
    true
}

async fn try_to_take<A: Aggregate>(
    repository: &Repository<A>,
    stream: &StreamId,
    patience: &[Duration],
    _turn: Turn,
) -> Result<(), BoxError> {
    for pause in patience {
        if !pause.is_zero() {
            tokio::time::sleep(*pause).await;
        }
        let loaded = repository.load_stream(stream).await?;
        if is_due(&loaded) {
            return save(repository.store(), stream, &loaded).await;
        }
    }
    Ok(())
}

fn is_due<A: Aggregate>(loaded: &Loaded<A>) -> bool {
    A::SNAPSHOT.is_some_and(|policy| policy.is_due(loaded))
}

async fn save<A: Aggregate>(
    store: &Arc<dyn EventStore>,
    stream: &StreamId,
    loaded: &Loaded<A>,
) -> Result<(), BoxError> {
    let (Some(policy), Some(snapshots)) = (A::SNAPSHOT, store.snapshots()) else { return Ok(()) };
    let Some(snapshot) = policy.snapshot_of(stream, loaded)? else { return Ok(()) };
    let (version, bytes) = (snapshot.footing.version, snapshot.state.len());
    let is_kept = snapshots.save_snapshot(snapshot).await?;
    tracing::debug!(%stream, %version, bytes, is_kept, "a snapshot was taken");
    Ok(())
}
