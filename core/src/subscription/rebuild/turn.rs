//! Whose turn it is to rebuild: that of one node at a time, by a lease of the store.

use std::time::Duration;

use crate::checkpoint::Transactional;
use crate::error::StoreError;
use crate::lease::{Heartbeat, NodeId, Token};
use crate::partition::Partition;

pub(super) struct Turn<'s, S> {
    store: &'s S,
    partition: Partition,
    node: NodeId,
    lease_for: Duration,
    token: Option<Token>,
}

impl<'s, S: Transactional> Turn<'s, S> {
    pub(super) fn new(store: &'s S, partition: Partition, lease_for: Duration) -> Self {
        Self { store, partition, node: NodeId::new(), lease_for, token: None }
    }

    pub(super) const fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What shows whose turn it is to those who come after.
    pub(super) const fn token(&self) -> Option<Token> {
        self.token
    }

    /// Tells that the node is there, and whether it is its turn.
    pub(super) async fn beat(&mut self) -> Result<bool, StoreError> {
        let heartbeat = Heartbeat {
            subscription: self.partition.subscription().to_owned(),
            partitions: 1,
            node: self.node,
            lease_for: self.lease_for,
            given_back: Vec::new(),
        };
        let share = self.store.beat(heartbeat).await?;
        self.token = share.leases.first().map(|lease| lease.token);
        Ok(self.token.is_some())
    }

    /// Goes on telling, and returns when it is told that the turn is over.
    ///
    /// Without an answer the node goes on: it may be its own work that keeps the store busy. What it does after others have taken
    /// over is refused, because they have moved the checkpoints.
    pub(super) async fn keep(&mut self) -> Result<(), StoreError> {
        let token = self.token;
        loop {
            tokio::time::sleep(self.lease_for / 3).await;
            match self.beat().await {
                Ok(true) if self.token == token => {}
                Ok(_) => return Ok(()),
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, partition = %self.partition, "the node could not tell that it is there");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets others have it.
    pub(super) async fn end(&self) {
        if let Err(error) = self.store.leave(self.partition.subscription(), self.node).await {
            // Then it ends by itself.
            tracing::warn!(%error, partition = %self.partition, "the lease could not be given back");
        }
    }
}
