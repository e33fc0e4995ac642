//! Leases: which node does which part of a subscription's work, decided by the store alone.
//!
//! A node says that it is there, again and again, and is told which partitions are its own until it should have said so
//! again. Each lease has a token that grows with every change of hands, and every checkpoint that is moved under a lease
//! checks it: a node that was paused, or cut off, and does not know that others have gone on cannot write. The time that
//! decides is the store's; a clock of a node never does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::error::StoreError;
use crate::partition::Partition;

/// A process, or a part of one, that does the work of subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub Uuid);

impl NodeId {
    /// A node that has never been.
    #[expect(clippy::new_without_default, reason = "a default is a value; this is a new one each time")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

/// The fencing token of a lease: greater than those of all leases of the same partition before.
///
/// A handler that writes elsewhere than in the store can pass it on, so that the other side refuses a smaller one than
/// the greatest it has seen (Kleppmann: How to do distributed locking, 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// That a partition is a node's own for a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which partition.
    pub partition: Partition,
    /// What the node shows when it moves the checkpoint.
    pub token: Token,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Of which subscription.
    pub subscription: String,
    /// In how many partitions its work is split; at least 1.
    pub partitions: u32,
    /// Who.
    pub node: NodeId,
    /// For how long from now on it shall count as there, and keep its leases.
    pub lease_for: Duration,
    /// The partitions that it gives back.
    pub given_back: Vec<u32>,
}

/// What a node is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The leases it has now, in the order of their partitions.
    pub leases: Vec<Lease>,
    /// How many of them are more than its share: to be given back when the work at hand is done.
    pub surplus: usize,
}

/// A store in which nodes share the work of subscriptions.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Prolongs a node's leases, gives it those that are free up to its share, and takes back what it gives back.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`OtherPartitions`](crate::StoreErrorKind::OtherPartitions) if the subscription's work is
    /// split otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; the next heartbeat tells.
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError>;

    /// Gives back all leases of a node, which is gone from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. Then its leases end by themselves.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; it may be repeated.
    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError>;
}

/// Who holds a partition, as a store has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The greatest token that was given out; 0 if none was.
    pub token: u64,
    /// Who has it, and until when.
    pub by: Option<(NodeId, DateTime<Utc>)>,
}

impl Held {
    /// Whether somebody has it at the time `now`.
    pub fn is_held(&self, now: DateTime<Utc>) -> bool {
        self.by.is_some_and(|(_, until)| until > now)
    }
}

/// All that a store knows of who shares the work of a subscription. The rule of leasing is here, once for all stores: they
/// read it, [`beat`](Roster::beat), and write it back in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The nodes that are there, and until when they count as such.
    pub nodes: BTreeMap<NodeId, DateTime<Utc>>,
    /// The partitions, in their order.
    pub partitions: Vec<Held>,
}

impl Roster {
    /// Takes in a heartbeat at the time `now` of the store.
    ///
    /// Every node that is there has the same share of the partitions, give or take one. Those that come first by their id
    /// have the odd ones, so that all nodes reckon alike. Nobody is robbed: whoever has too much is told, and gives back
    /// in its own time.
    pub fn beat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Share {
        let Heartbeat { node, lease_for, given_back, .. } = heartbeat;
        let until = now + TimeDelta::from_std(*lease_for).unwrap_or(TimeDelta::MAX / 4);
        self.nodes.retain(|_, until| *until > now);
        self.nodes.insert(*node, until);
        let own = |held: &Held| held.by.is_some_and(|(holder, _)| holder == *node);
        for index in given_back {
            let held = usize::try_from(*index).ok().and_then(|index| self.partitions.get_mut(index));
            if let Some(held) = held.filter(|held| own(held)) {
                held.by = None;
            }
        }
        let share = self.share_of(*node);
        let mut has = self.partitions.iter().filter(|held| own(held)).count();
        for held in &mut self.partitions {
            if own(held) {
                // Also one that has run out: nobody else has taken it, so its token is still the last.
                held.by = Some((*node, until));
            } else if has < share && !held.is_held(now) {
                *held = Held { token: held.token + 1, by: Some((*node, until)) };
                has += 1;
            }
        }
        let leases = Partition::all(&heartbeat.subscription, heartbeat.partitions)
            .zip(&self.partitions)
            .filter(|(_, held)| own(held))
            .map(|(partition, held)| Lease { partition, token: Token(held.token) });
        Share { leases: leases.collect(), surplus: has.saturating_sub(share) }
    }

    /// Takes out a node that leaves.
    pub fn leave(&mut self, node: NodeId) {
        self.nodes.remove(&node);
        for held in &mut self.partitions {
            held.by = held.by.filter(|(holder, _)| *holder != node);
        }
    }

    fn share_of(&self, node: NodeId) -> usize {
        let place = self.nodes.keys().position(|other| *other == node).expect("it was just put in");
        let (each, odd) =
            (self.partitions.len() / self.nodes.len(), self.partitions.len() % self.nodes.len());
        each + usize::from(place < odd)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn node(number: u128) -> NodeId {
        NodeId(Uuid::from_u128(number))
    }

    fn roster(partitions: usize) -> Roster {
        Roster { partitions: vec![Held::default(); partitions], ..Roster::default() }
    }

    fn heartbeat(roster: &Roster, node: NodeId, given_back: Vec<u32>) -> Heartbeat {
        let partitions = u32::try_from(roster.partitions.len()).expect("few");
        Heartbeat { subscription: "s".into(), partitions, node, lease_for: LEASE, given_back }
    }

    fn beat(roster: &mut Roster, node: NodeId, now: i64) -> Share {
        let heartbeat = heartbeat(roster, node, Vec::new());
        roster.beat(&heartbeat, at(now))
    }

    fn indices(share: &Share) -> Vec<u32> {
        share.leases.iter().map(|lease| lease.partition.index()).collect()
    }

    #[test]
    fn a_lone_node_has_all_of_it() {
        let mut roster = roster(3);
        let share = beat(&mut roster, node(1), 0);
        assert_eq!((indices(&share), share.surplus), (vec![0, 1, 2], 0));
        assert!(share.leases.iter().all(|lease| lease.token == Token(1)));
    }

    #[test]
    fn a_node_that_comes_gets_its_share_when_the_others_give_it_back() {
        let mut roster = roster(4);
        beat(&mut roster, node(1), 0);
        assert_eq!(indices(&beat(&mut roster, node(2), 1)), [0; 0], "nobody is robbed");
        let share = beat(&mut roster, node(1), 2);
        assert_eq!((share.leases.len(), share.surplus), (4, 2));
        let giving = heartbeat(&roster, node(1), vec![2, 3]);
        assert_eq!(roster.beat(&giving, at(3)).surplus, 0);
        let share = beat(&mut roster, node(2), 4);
        assert_eq!(indices(&share), [2, 3]);
        assert!(share.leases.iter().all(|lease| lease.token == Token(2)), "the hands have changed");
    }

    #[test]
    fn the_leases_of_a_node_that_is_silent_end_and_their_tokens_are_old() {
        let mut roster = roster(2);
        beat(&mut roster, node(1), 0);
        assert!(beat(&mut roster, node(2), 9).leases.is_empty());
        let share = beat(&mut roster, node(2), 10);
        assert_eq!((indices(&share), share.leases[0].token), (vec![0, 1], Token(2)));
        assert!(beat(&mut roster, node(1), 11).leases.is_empty(), "it has come back too late");
    }

    #[test]
    fn a_lease_that_ran_out_and_that_nobody_took_goes_on_with_its_token() {
        let mut roster = roster(1);
        beat(&mut roster, node(1), 0);
        assert_eq!(beat(&mut roster, node(1), 100).leases[0].token, Token(1));
    }

    #[test]
    fn a_node_that_leaves_is_followed_at_once() {
        let mut roster = roster(2);
        beat(&mut roster, node(1), 0);
        roster.leave(node(1));
        assert_eq!(indices(&beat(&mut roster, node(2), 0)), [0, 1]);
    }

    #[test]
    fn more_nodes_than_partitions_stand_by() {
        let mut roster = roster(1);
        beat(&mut roster, node(2), 0);
        let share = beat(&mut roster, node(3), 0);
        assert_eq!((share.leases.len(), share.surplus), (0, 0));
        // By its id it would be first: then the other gives back.
        beat(&mut roster, node(1), 0);
        assert_eq!(beat(&mut roster, node(2), 1).surplus, 1);
    }

    proptest! {
        /// Whatever nodes do: a partition has one holder, its token grows with each change of hands, and when they come
        /// to rest the shares are even.
        #[test]
        fn nobody_holds_what_another_holds(
            partitions in 1_usize..9,
            steps in prop::collection::vec((0_u128..5, 0_i64..6, 0_u8..4), 1..80),
        ) {
            let mut roster = roster(partitions);
            let mut now = 0;
            let mut holders: Vec<Option<(NodeId, u64)>> = vec![None; partitions];
            let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
            for (who, later, what) in steps {
                now += later;
                let who = node(who + 1);
                if what == 0 {
                    roster.leave(who);
                    shares.remove(&who);
                    continue;
                }
                let before = shares.get(&who).cloned().unwrap_or_default();
                let given_back = before.leases.iter().rev().take(before.surplus).map(|lease| lease.partition.index());
                let heartbeat = heartbeat(&roster, who, given_back.collect());
                let share = roster.beat(&heartbeat, at(now));
                for lease in &share.leases {
                    let holder = &mut holders[lease.partition.index() as usize];
                    let (last, token) = holder.unwrap_or((who, 0));
                    prop_assert!(lease.token.0 > token || (lease.token.0 == token && last == who));
                    *holder = Some((who, lease.token.0));
                }
                shares.insert(who, share);
            }
            let nodes: Vec<_> = roster.nodes.iter().filter(|(_, until)| **until > at(now)).map(|(id, _)| *id).collect();
            for _ in 0..4 {
                for &who in &nodes {
                    let before = shares.get(&who).cloned().unwrap_or_default();
                    let given_back = before.leases.iter().rev().take(before.surplus).map(|lease| lease.partition.index());
                    let heartbeat = heartbeat(&roster, who, given_back.collect());
                    shares.insert(who, roster.beat(&heartbeat, at(now)));
                }
            }
            let counts: Vec<_> = nodes.iter().map(|who| shares[who].leases.len()).collect();
            if let (Some(most), Some(least)) = (counts.iter().max(), counts.iter().min()) {
                prop_assert!(most - least <= 1, "{counts:?}");
                prop_assert_eq!(counts.iter().sum::<usize>(), partitions);
            }
        }
    }
}
