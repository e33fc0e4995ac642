//! A node that shares a subscription's work with others: it tells that it is there, and works on what it has leases of.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::machine::Until;
use super::pages::Pages;
use super::runner::Runner;
use super::{Sharing, Subscription, SubscriptionError};
use crate::error::{StoreError, StoreErrorKind};
use crate::lease::{Heartbeat, Lease, NodeId, Share, Token};
use crate::partition::Partition;
use crate::store::ReadAll;
use crate::stream::Position;

/// How often a node that catches up asks how far others are.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a node until `stop` is ready, or until everything there was at the beginning is handled.
pub(super) async fn run<Cx: Send + 'static>(
    subscription: &Subscription<Cx>,
    sharing: Sharing,
    until: Until,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Position, SubscriptionError> {
    let target = match until {
        Until::CaughtUp => Some(end_of_feed(subscription).await?),
        Until::Stopped => None,
    };
    let mut node = Node::new(subscription, sharing);
    let outcome = loop {
        if let Err(error) = node.beat().await {
            break Err(error.into());
        }
        let mut pause = node.pause();
        if let Some(target) = target {
            match node.lowest().await {
                Ok(position) if position >= target => break Ok(()),
                Ok(_) => pause = pause.min(LOOK),
                Err(error) => break Err(error.into()),
            }
        }
        tokio::select! {
            biased;
            () = &mut stop => break Ok(()),
            Some(ended) = node.runners.join_next() => match node.ended(ended) {
                Ok(()) => {}
                Err(error) => break Err(error),
            },
            () = tokio::time::sleep(pause) => {}
        }
    };
    let stopped = node.stop().await;
    outcome.and(stopped)?;
    Ok(node.lowest().await.unwrap_or_default())
}

/// The end of what can be read now.
async fn end_of_feed<Cx: Send + 'static>(subscription: &Subscription<Cx>) -> Result<Position, StoreError> {
    let head = subscription.store.head().await?;
    let page =
        subscription.store.read_all(ReadAll::after(head).filter(subscription.filter()).limit(1)).await?;
    Ok(page.checkpoint.position.min(head))
}

struct Node<'s, Cx: Send + 'static> {
    subscription: &'s Subscription<Cx>,
    sharing: Sharing,
    id: NodeId,
    pages: Arc<Pages>,
    runners: JoinSet<(u32, Result<Position, SubscriptionError>)>,
    /// What this node works on, by the index of the partition.
    own: BTreeMap<u32, Working>,
    /// What it has stopped working on, to be told by the next heartbeat.
    given_back: Vec<u32>,
    /// Until when the leases are certainly its own, by its own clock: since before the store heard of it.
    sure_until: Instant,
    next_beat: Instant,
}

struct Working {
    token: Token,
    stop: watch::Sender<bool>,
    task: tokio::task::AbortHandle,
    is_surplus: bool,
}

impl<'s, Cx: Send + 'static> Node<'s, Cx> {
    fn new(subscription: &'s Subscription<Cx>, sharing: Sharing) -> Self {
        let now = Instant::now();
        Self {
            subscription,
            sharing,
            id: NodeId::new(),
            // Its runners go on, also where the node is only to catch up.
            pages: Arc::new(subscription.pages(Until::Stopped)),
            runners: JoinSet::new(),
            own: BTreeMap::new(),
            given_back: Vec::new(),
            sure_until: now,
            next_beat: now,
        }
    }

    /// How long until the next heartbeat.
    fn pause(&self) -> Duration {
        if self.given_back.is_empty() {
            self.next_beat.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        }
    }

    /// Tells that it is there, if it is time to, and does what comes of it.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if !self.pause().is_zero() {
            return Ok(());
        }
        let begun = Instant::now();
        let heartbeat = Heartbeat {
            subscription: self.subscription.name.to_string(),
            partitions: self.sharing.partitions,
            node: self.id,
            lease_for: self.sharing.lease_for,
            given_back: self.given_back.clone(),
        };
        self.next_beat = begun + self.sharing.lease_for / 3;
        let beat = self.subscription.work.books().beat(heartbeat);
        // An answer that comes after the next one is due is of no use.
        match tokio::time::timeout(self.sharing.lease_for, beat).await {
            Ok(Ok(share)) => {
                self.sure_until = begun + self.sharing.lease_for;
                self.given_back.clear();
                self.take(share);
                Ok(())
            }
            Ok(Err(error)) if !error.is_transient() => Err(error),
            late_or_ill => {
                let error = late_or_ill.err().map(|_| "no answer").map(str::to_owned);
                tracing::warn!(error, subscription = %self.subscription.name, "the node could not tell that it is there");
                self.next_beat = Instant::now() + self.sharing.lease_for / 6;
                if Instant::now() >= self.sure_until {
                    // Others may have taken over. Whatever is under way could not be committed.
                    self.own.values().for_each(|working| working.task.abort());
                }
                Ok(())
            }
        }
    }

    fn take(&mut self, share: Share) {
        let Share { leases, surplus } = share;
        for (index, working) in &self.own {
            let is_still_own =
                leases.iter().any(|lease| lease.partition.index() == *index && lease.token == working.token);
            if !is_still_own {
                working.task.abort();
            }
        }
        for lease in &leases {
            if !self.own.contains_key(&lease.partition.index()) {
                self.begin(lease.clone());
            }
        }
        let given = self.own.values().filter(|working| working.is_surplus).count();
        let more = self.own.values_mut().rev().filter(|working| !working.is_surplus);
        for working in more.take(surplus.saturating_sub(given)) {
            working.is_surplus = true;
            // It finishes the event at hand, and commits.
            working.stop.send_replace(true);
        }
    }

    fn begin(&mut self, lease: Lease) {
        let (stop, told) = watch::channel(false);
        let (subscription, pages) = (self.subscription.clone(), Arc::clone(&self.pages));
        let Lease { partition, token } = lease;
        let index = partition.index();
        let task = self.runners.spawn(async move {
            let runner = Runner::new(&subscription, partition, Some(token), &pages);
            (index, runner.run(Until::Stopped, told).await)
        });
        self.own.insert(index, Working { token, stop, task, is_surplus: false });
    }

    /// A runner has come to its end.
    fn ended(
        &mut self,
        ended: Result<(u32, Result<Position, SubscriptionError>), JoinError>,
    ) -> Result<(), SubscriptionError> {
        let (index, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {
                // It was aborted, because its lease is gone.
                self.own.retain(|_, working| !working.task.is_finished());
                return Ok(());
            }
        };
        self.own.remove(&index);
        match outcome {
            Ok(_) => {
                self.given_back.push(index);
                Ok(())
            }
            // Somebody else has it now, or has had it and moved the checkpoint on before this node asked what had come of
            // its last commit; the next heartbeat tells.
            Err(SubscriptionError::Store(error))
                if matches!(
                    error.kind(),
                    StoreErrorKind::LeaseLost | StoreErrorKind::CheckpointMoved { .. }
                ) =>
            {
                self.next_beat = Instant::now();
                Ok(())
            }
            Err(error) => {
                self.given_back.push(index);
                Err(error)
            }
        }
    }

    /// The lowest position that a partition has come to, wherever it is worked on.
    async fn lowest(&self) -> Result<Position, StoreError> {
        let mut lowest = Position(u64::MAX);
        for partition in Partition::all(&self.subscription.name, self.sharing.partitions) {
            let here = self.subscription.board.reached(partition.index());
            let position = match here {
                Some(here) => here,
                None => self.subscription.work.books().checkpoint_of(&partition).await?.position,
            };
            lowest = lowest.min(position);
        }
        Ok(lowest)
    }

    /// Finishes what is at hand, and gives back all leases.
    async fn stop(&mut self) -> Result<(), SubscriptionError> {
        self.own.values().for_each(|working| {
            working.stop.send_replace(true);
        });
        let mut outcome = Ok(());
        while let Some(ended) = self.runners.join_next().await {
            outcome = outcome.and(self.ended(ended));
        }
        if let Err(error) = self.subscription.work.books().leave(&self.subscription.name, self.id).await {
            // Then they end by themselves.
            tracing::warn!(%error, subscription = %self.subscription.name, "the node could not give back its leases");
        }
        outcome
    }
}
