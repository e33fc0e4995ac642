//! Partitions, leases and tokens: who may move which checkpoint.

use std::collections::BTreeSet;
use std::time::Duration;

use factum_core::{
    Advance, Checkpoint, Checkpoints, Heartbeat, Leases, NodeId, Partition, Position, Share, StoreErrorKind,
    Token, Transactional,
};

use crate::Fixture;
use crate::given::{some, stream};
use crate::race::race;
use crate::seen::{append, everything, soon};

/// Long enough for everything that a promise does while it has a lease.
const LONG: Duration = Duration::from_mins(10);
/// Short enough to wait for its end.
const SHORT: Duration = Duration::from_millis(100);

/// A lone node has all partitions, each with a checkpoint of its own.
pub async fn a_lone_node_has_every_partition<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = some_checkpoint(store).await;
    let share = beat(store, NodeId::new(), 4, LONG).await;
    assert_eq!((indices(&share), share.surplus), (vec![0, 1, 2, 3], 0));
    for lease in &share.leases {
        let step = Advance::new(lease.partition.clone(), Checkpoint::START, to);
        store.advance(Advance { token: Some(lease.token), ..step }).await.expect("it has the lease");
        for other in Partition::all("s", 4) {
            let at = store.checkpoint_of(&other).await.expect("it is there");
            let was_moved = other.index() <= lease.partition.index();
            assert_eq!(at.position, if was_moved { to.position } else { Position::START }, "{other}");
        }
    }
    // A subscription of another name has nothing to do with it.
    assert_eq!(store.checkpoint("t").await.expect("it is there"), Checkpoint::START);
}

/// Two nodes come to even shares, when the first gives back what is too much.
pub async fn nodes_come_to_even_shares<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (first, second) = (NodeId::new(), NodeId::new());
    beat(store, first, 5, LONG).await;
    assert_eq!(beat(store, second, 5, LONG).await.leases, [], "nobody is robbed");
    let share = beat(store, first, 5, LONG).await;
    assert!((2..=3).contains(&share.surplus) && share.leases.len() == 5, "{share:?}");
    let given_back: Vec<_> = indices(&share).into_iter().rev().take(share.surplus).collect();
    let first_has = give_back(store, first, 5, given_back.clone()).await;
    let second_has = beat(store, second, 5, LONG).await;
    assert_eq!((first_has.surplus, second_has.surplus), (0, 0));
    let mine: BTreeSet<_> = indices(&first_has).into_iter().collect();
    let yours: BTreeSet<_> = indices(&second_has).into_iter().collect();
    assert!(mine.is_disjoint(&yours) && mine.len() + yours.len() == 5, "{mine:?} {yours:?}");
    assert_eq!(yours, given_back.into_iter().collect());
}

/// A step needs the last token that was given out: with an older one, or without any, nothing of it is done, alone or in a
/// transaction.
pub async fn a_step_needs_the_last_token<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = some_checkpoint(store).await;
    let (first, second) = (NodeId::new(), NodeId::new());
    let old = only(&beat(store, first, 1, SHORT).await);
    tokio::time::sleep(2 * SHORT).await;
    let new = only(&beat(store, second, 1, LONG).await);
    assert!(new > old, "the token grows with each change of hands");
    assert_eq!(beat(store, first, 1, LONG).await.leases, [], "it has come back too late");
    for token in [Some(old), None, Some(Token(new.0 + 1))] {
        let step = Advance { token, ..Advance::new("s".into(), Checkpoint::START, to) };
        let lost = store.advance(step.clone()).await.expect_err("another node has the lease");
        assert_eq!(*lost.kind(), StoreErrorKind::LeaseLost);
        let tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
        let lost = store.commit_with(tx, step).await.expect_err("another node has the lease");
        assert_eq!(*lost.kind(), StoreErrorKind::LeaseLost);
        assert_eq!(store.checkpoint("s").await.expect("it is there"), Checkpoint::START);
    }
    let step = Advance { token: Some(new), ..Advance::new("s".into(), Checkpoint::START, to) };
    let tx = store.begin().await.expect("a transaction begins");
    store.commit_with(tx, step).await.expect("it has the lease");
    assert_eq!(store.checkpoint("s").await.expect("it is there").position, to.position);
}

/// A lease that has ended and that nobody has taken goes on when its node comes back, with the same token.
pub async fn a_lease_that_nobody_took_goes_on<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = some_checkpoint(store).await;
    let node = NodeId::new();
    let token = only(&beat(store, node, 1, SHORT).await);
    tokio::time::sleep(2 * SHORT).await;
    let step = Advance { token: Some(token), ..Advance::new("s".into(), Checkpoint::START, to) };
    store.advance(step).await.expect("nobody else has it");
    assert_eq!(only(&beat(store, node, 1, LONG).await), token);
}

/// Where a lease has ended or was given back, a step without one is made.
pub async fn without_a_lease_nobody_else_may_hold_one<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = some_checkpoint(store).await;
    let node = NodeId::new();
    let token = only(&beat(store, node, 1, LONG).await);
    let lost = store.move_checkpoint("s", Checkpoint::START, to).await.expect_err("a node has the lease");
    assert_eq!(*lost.kind(), StoreErrorKind::LeaseLost);
    store.leave("s", node).await.expect("it may leave");
    let step = Advance { token: Some(token), ..Advance::new("s".into(), Checkpoint::START, to) };
    let lost = store.advance(step).await.expect_err("it was given back");
    assert_eq!(*lost.kind(), StoreErrorKind::LeaseLost);
    store.move_checkpoint("s", Checkpoint::START, to).await.expect("nobody has the lease");
    beat(store, node, 1, SHORT).await;
    tokio::time::sleep(2 * SHORT).await;
    store.move_checkpoint("s", to, Checkpoint::START).await.expect("the lease has ended");
}

/// A node that leaves is followed at once, and its token is old.
pub async fn who_leaves_is_followed_at_once<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (first, second) = (NodeId::new(), NodeId::new());
    let before = beat(store, first, 3, LONG).await;
    store.leave("s", first).await.expect("it may leave");
    store.leave("s", first).await.expect("it may leave twice");
    store.leave("t", first).await.expect("it may leave where it never was");
    let after = beat(store, second, 3, LONG).await;
    assert_eq!(indices(&after), [0, 1, 2]);
    assert!(before.leases.iter().zip(&after.leases).all(|(old, new)| new.token > old.token));
}

/// Of nodes that come at the same time no two have the same partition, however they race.
pub async fn racing_nodes_share_nothing_twice<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..5 {
        let subscription = format!("s{round}");
        let nodes: Vec<_> = (0..8).map(|_| NodeId::new()).collect();
        let shares = race(nodes.into_iter().map(|node| {
            let (store, subscription) = (store.clone(), subscription.clone());
            let heartbeat =
                Heartbeat { subscription, partitions: 16, node, lease_for: LONG, given_back: Vec::new() };
            async move { store.beat(heartbeat).await.expect("it may share") }
        }))
        .await;
        let all: Vec<_> = shares.iter().flat_map(indices).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{shares:?}");
        assert!(!all.is_empty(), "somebody has come first");
    }
}

/// The number of partitions stays what it was: whoever wants another is told, and changes nothing.
pub async fn refuses_another_number_of_partitions<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let to = some_checkpoint(store).await;
    let share = beat(store, NodeId::new(), 4, LONG).await;
    let (found, wanted) = (4, 2);
    let other = StoreErrorKind::OtherPartitions { found, wanted };
    let node = NodeId::new();
    let heartbeat = Heartbeat {
        subscription: "s".into(),
        partitions: wanted,
        node,
        lease_for: LONG,
        given_back: Vec::new(),
    };
    assert_eq!(*store.beat(heartbeat).await.expect_err("there are four").kind(), other);
    let partition = Partition::new("s", 0, wanted);
    assert_eq!(*store.checkpoint_of(&partition).await.expect_err("there are four").kind(), other);
    let step = Advance::new(partition, Checkpoint::START, to);
    for token in [None, Some(share.leases[0].token)] {
        let refused = store.advance(Advance { token, ..step.clone() }).await.expect_err("there are four");
        assert_eq!(*refused.kind(), other);
    }
    // One that has begun unsplit is one of one.
    store.move_checkpoint("t", Checkpoint::START, to).await.expect("it was there");
    let split = store.checkpoint_of(&Partition::new("t", 0, wanted)).await.expect_err("it is whole");
    assert_eq!(*split.kind(), StoreErrorKind::OtherPartitions { found: 1, wanted });
}

async fn some_checkpoint<S: factum_core::EventStore>(store: &S) -> Checkpoint {
    append(store, some(&stream("1"), 2)).await;
    Checkpoint::from(everything(store).await.last().expect("it has events"))
}

async fn beat(store: &impl Leases, node: NodeId, partitions: u32, lease_for: Duration) -> Share {
    let heartbeat =
        Heartbeat { subscription: "s".into(), partitions, node, lease_for, given_back: Vec::new() };
    store.beat(heartbeat).await.expect("it may share")
}

async fn give_back(store: &impl Leases, node: NodeId, partitions: u32, given_back: Vec<u32>) -> Share {
    let heartbeat = Heartbeat { subscription: "s".into(), partitions, node, lease_for: LONG, given_back };
    store.beat(heartbeat).await.expect("it may share")
}

fn indices(share: &Share) -> Vec<u32> {
    share.leases.iter().map(|lease| lease.partition.index()).collect()
}

/// The token of the one lease.
fn only(share: &Share) -> Token {
    let [lease] = &share.leases[..] else { panic!("{share:?}") };
    lease.token
}
