//! Nodes that share a subscription: each stream in order and on one node at a time, whoever comes, leaves or falls silent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::memory::{MemoryStore, MemoryTx};
use factum::{
    Advance, Checkpoint, Checkpoints, Context, Envelope, EventHandler, On, OnFailure, Partition, Position,
    Repository, StoreErrorKind, Subscription, SubscriptionError, Token,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::domain::{Order, OrderPlaced, OrderShipped, place, ship};

const PARTITIONS: u32 = 4;
const LEASE: Duration = Duration::from_millis(300);
const ORDERS: u64 = 20;

/// What was handled: order, version, by which node, under which token.
type Handled = Arc<Mutex<Vec<(String, u64, u32, Option<Token>)>>>;

#[derive(EventHandler)]
#[handler(name = "tally", error = std::convert::Infallible, cx = MemoryTx, on(OrderPlaced), on(OrderShipped))]
struct Tally {
    node: u32,
    handled: Handled,
}

impl Tally {
    fn note<E>(&self, event: &Envelope<E>, cx: &mut Context<MemoryTx>) {
        let entry = (event.stream.id().to_owned(), event.version.0, self.node, cx.token());
        let handled = Arc::clone(&self.handled);
        cx.tx().on_commit(move || handled.lock().unwrap().push(entry));
    }
}

impl On<OrderPlaced, MemoryTx> for Tally {
    async fn on(
        &self,
        event: &Envelope<OrderPlaced>,
        cx: &mut Context<MemoryTx>,
    ) -> Result<(), std::convert::Infallible> {
        self.note(event, cx);
        Ok(())
    }
}

impl On<OrderShipped, MemoryTx> for Tally {
    async fn on(
        &self,
        event: &Envelope<OrderShipped>,
        cx: &mut Context<MemoryTx>,
    ) -> Result<(), std::convert::Infallible> {
        self.note(event, cx);
        Ok(())
    }
}

struct Node {
    subscription: Subscription<MemoryTx>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<Position, SubscriptionError>>,
}

fn node(store: &MemoryStore, node: u32, handled: &Handled) -> Node {
    let subscription = Subscription::transactional("tally", store.clone(), OnFailure::stop())
        .handler(Tally { node, handled: Arc::clone(handled) })
        .shared(PARTITIONS)
        .lease_for(LEASE)
        .batch_events(7);
    let (stop, mut stopped) = watch::channel(false);
    let running = tokio::spawn({
        let subscription = subscription.clone();
        async move {
            subscription.run_until(async move { drop(stopped.wait_for(|stopped| *stopped).await) }).await
        }
    });
    Node { subscription, stop, running }
}

impl Node {
    async fn leave(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap().unwrap();
    }

    /// How many partitions it works on.
    async fn share(&self) -> usize {
        let health = self.subscription.health().await.unwrap();
        health.partitions.iter().filter(|partition| partition.is_running).count()
    }

    async fn has_share(&self, share: usize) {
        let reached = async {
            while self.share().await != share {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(20 * LEASE, reached).await.expect("within some leases");
    }
}

async fn events(store: &MemoryStore, rounds: u64) -> Position {
    let orders = Repository::<Order>::new(store.clone());
    let mut last = Position::START;
    for round in 0..rounds {
        for order in 0..ORDERS {
            let executed = match round {
                0 => orders.execute(&order, place()).await.unwrap(),
                _ => orders.execute(&order, ship(&round.to_string())).await.unwrap(),
            };
            last = executed.position();
        }
    }
    last
}

/// Each event once, each stream in order, and tokens that never go back within a stream.
fn assert_once_and_in_order(handled: &Handled, events: u64) {
    let handled = handled.lock().unwrap();
    assert_eq!(handled.len() as u64, events);
    let mut last: HashMap<&str, (u64, Option<Token>)> = HashMap::new();
    for (stream, version, _, token) in &*handled {
        let (before, token_before) = last.insert(stream, (*version, *token)).unwrap_or((0, None));
        assert_eq!(*version, before + 1, "of {stream}");
        assert!(*token >= token_before, "{token:?} after {token_before:?}");
    }
}

#[tokio::test]
async fn the_work_is_split_and_each_stream_keeps_its_order() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let nodes = [node(&store, 1, &handled), node(&store, 2, &handled)];
    for node in &nodes {
        node.has_share(2).await;
    }
    let last = events(&store, 6).await;
    nodes[0].subscription.reached(last, Duration::from_secs(10)).await.unwrap();
    assert_once_and_in_order(&handled, 6 * ORDERS);
    let by_both = handled.lock().unwrap().iter().filter(|(_, _, node, _)| *node == 1).count() as u64;
    assert!(by_both > 0 && by_both < 6 * ORDERS, "{by_both}");
    for node in nodes {
        node.leave().await;
    }
}

#[tokio::test]
async fn who_comes_gets_a_share_and_who_leaves_is_followed_at_once() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let first = node(&store, 1, &handled);
    first.has_share(4).await;
    events(&store, 2).await;
    let second = node(&store, 2, &handled);
    second.has_share(2).await;
    first.has_share(2).await;
    first.leave().await;
    second.has_share(4).await;
    let orders = Repository::<Order>::new(store.clone());
    let last = orders.execute(&0, ship("last")).await.unwrap().position();
    second.subscription.reached(last, Duration::from_secs(10)).await.unwrap();
    assert_once_and_in_order(&handled, 2 * ORDERS + 1);
    second.leave().await;
}

#[tokio::test]
async fn who_dies_is_followed_when_its_leases_have_ended() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let (first, second) = (node(&store, 1, &handled), node(&store, 2, &handled));
    first.has_share(2).await;
    second.has_share(2).await;
    first.running.abort();
    second.has_share(4).await;
    let last = events(&store, 2).await;
    second.subscription.reached(last, Duration::from_secs(10)).await.unwrap();
    assert_once_and_in_order(&handled, 2 * ORDERS);
    second.leave().await;
}

#[tokio::test]
async fn catching_up_shares_the_work_and_waits_for_the_others() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let other = node(&store, 1, &handled);
    other.has_share(4).await;
    let last = events(&store, 3).await;
    let position = Subscription::transactional("tally", store.clone(), OnFailure::stop())
        .handler(Tally { node: 2, handled: Arc::clone(&handled) })
        .shared(PARTITIONS)
        .lease_for(LEASE)
        .catch_up()
        .await
        .unwrap();
    assert_eq!(position, last);
    for partition in Partition::all("tally", PARTITIONS) {
        assert_eq!(store.checkpoint_of(&partition).await.unwrap().position, last);
    }
    assert_once_and_in_order(&handled, 3 * ORDERS);
    other.leave().await;
}

#[tokio::test]
async fn another_number_of_partitions_and_another_way_to_run_are_told() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let first = node(&store, 1, &handled);
    first.has_share(4).await;
    events(&store, 1).await;
    let tally = || {
        Subscription::transactional("tally", store.clone(), OnFailure::stop())
            .handler(Tally { node: 2, handled: Arc::clone(&handled) })
    };
    for (subscription, wanted) in [(tally().shared(8), 8), (tally(), 1)] {
        let error = subscription.catch_up().await.unwrap_err();
        let SubscriptionError::Store(error) = error else { panic!("{error:?}") };
        assert_eq!(*error.kind(), StoreErrorKind::OtherPartitions { found: 4, wanted });
    }
    first.leave().await;
}

/// Others may have gone on and gone, before a node that stood still asks what has come of its last commit.
#[tokio::test]
async fn a_node_whose_checkpoint_was_moved_by_others_goes_on_from_there() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let node = node(&store, 1, &handled);
    node.has_share(4).await;
    let last = events(&store, 1).await;
    node.subscription.reached(last, Duration::from_secs(10)).await.unwrap();

    let stream = "order/0".parse().unwrap();
    let partition = Partition::all("tally", PARTITIONS).find(|partition| partition.has(&stream)).unwrap();
    let token = handled.lock().unwrap().iter().find(|(stream, ..)| stream == "0").unwrap().3;
    // What the node has seen is kept as its checkpoint only after a while.
    let at = store.checkpoint_of(&partition).await.unwrap();
    store.advance(Advance { token, ..Advance::new(partition, at, Checkpoint::START) }).await.unwrap();

    let orders = Repository::<Order>::new(store.clone());
    let last = orders.execute(&0, ship("more")).await.unwrap().position();
    node.subscription.reached(last, Duration::from_secs(10)).await.unwrap();
    node.leave().await;
    let handled = handled.lock().unwrap();
    let versions: Vec<_> = handled.iter().filter(|(stream, ..)| stream == "0").map(|entry| entry.1).collect();
    assert_eq!(versions, [1, 1, 2], "from where the checkpoint is");
}

#[tokio::test]
async fn one_partition_is_a_stand_by() {
    let store = MemoryStore::new();
    let handled = Handled::default();
    let tally = |node| {
        Subscription::transactional("tally", store.clone(), OnFailure::stop())
            .handler(Tally { node, handled: Arc::clone(&handled) })
            .shared(1)
            .lease_for(LEASE)
    };
    let (first, second) = (tally(1), tally(2));
    let run = |subscription: Subscription<MemoryTx>| {
        tokio::spawn(async move { subscription.run_until(std::future::pending()).await })
    };
    let (first_running, second_running) = (run(first.clone()), run(second.clone()));
    let last = events(&store, 2).await;
    first.reached(last, Duration::from_secs(10)).await.unwrap();
    let of_node = |node| handled.lock().unwrap().iter().filter(|(_, _, by, _)| *by == node).count() as u64;
    assert_eq!(of_node(1).max(of_node(2)), 2 * ORDERS, "one does all of it");
    if of_node(1) > 0 {
        first_running.abort();
    } else {
        second_running.abort();
    }
    let orders = Repository::<Order>::new(store.clone());
    let last = orders.execute(&0, ship("last")).await.unwrap().position();
    first.reached(last, Duration::from_secs(10)).await.unwrap();
    assert_once_and_in_order(&handled, 2 * ORDERS + 1);
    first_running.abort();
    second_running.abort();
}
