//! A subscription that runs while its store becomes another one: the same log, or one that lacks the last events.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum::memory::MemoryStore;
use factum::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage,
};
use factum::{
    Advance, AppendError, Checkpoint, Checkpoints, Codec, Context, DeadLetter, DeadLetters, Envelope, Event,
    EventHandler, EventId, EventStore, Expected, Heartbeat, Leases, Metadata, NewEvent, NodeId, On,
    OnFailure, Parked, Partition, Position, ReadDeadLetters, RecordedEvent, Share, Snapshots, StoreError,
    StoreErrorKind, StreamId, Subscription, SubscriptionError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "paid")]
struct Paid {
    amount: u64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "noted")]
struct Noted;

#[derive(EventHandler)]
#[handler(name = "takings", error = std::convert::Infallible, on(Paid))]
struct Takings(Arc<Mutex<Vec<u64>>>);

impl On<Paid> for Takings {
    async fn on(&self, event: &Envelope<Paid>, _: &mut Context) -> Result<(), std::convert::Infallible> {
        self.0.lock().unwrap().push(event.event.amount);
        Ok(())
    }
}

/// A name that leads to one server and then to another, whose checkpoints it has taken over.
#[derive(Clone)]
struct Switched {
    now: Arc<Mutex<MemoryStore>>,
    rests: Arc<Notify>,
    turned: Arc<Notify>,
}

impl Switched {
    fn new(first: &MemoryStore) -> Self {
        let (rests, turned) = (Arc::default(), Arc::default());
        Self { now: Arc::new(Mutex::new(first.clone())), rests, turned }
    }

    fn now(&self) -> MemoryStore {
        self.now.lock().unwrap().clone()
    }

    /// Returns when the subscription has come to the end and waits.
    async fn is_read_to_its_end(&self) {
        self.rests.notified().await;
    }

    /// From now on it leads to `other`, and whoever waits looks again.
    fn lead_to(&self, other: &MemoryStore) {
        *self.now.lock().unwrap() = other.clone();
        self.turned.notify_one();
    }
}

#[async_trait]
impl EventStore for Switched {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.now().append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.now().read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.now().read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.now().read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.now().find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.now().read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.now().head().await
    }

    async fn wait(&self, _: Position) -> Result<(), StoreError> {
        self.rests.notify_one();
        self.turned.notified().await;
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
}

#[async_trait]
impl Checkpoints for Switched {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.now().checkpoint_of(partition).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.now().advance(step).await
    }
}

#[async_trait]
impl DeadLetters for Switched {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.now().dead_letters(read).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.now().parked(subscription, due_max).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.now().retry_dead_letter(subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.now().drop_dead_letter(subscription, position).await
    }
}

#[async_trait]
impl Leases for Switched {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.now().beat(heartbeat).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.now().leave(subscription, node).await
    }
}

fn event<E: Event>(event: &E) -> NewEvent {
    NewEvent::encode(event, Codec::default(), Metadata::default()).unwrap()
}

async fn append(store: &impl EventStore, events: Vec<NewEvent>) {
    let stream = StreamId::new("till", "1").unwrap();
    store.append(Append::to(stream, Expected::Any, events)).await.unwrap();
}

/// Two logs that begin alike, and the takings of a subscription that has seen what `first` has and then meets `second`.
async fn taken_over_a_switch(
    first: Vec<NewEvent>,
    second: Vec<NewEvent>,
) -> (Vec<u64>, Result<Position, SubscriptionError>) {
    let common = vec![event(&Paid { amount: 1 }), event(&Noted)];
    let stores = [MemoryStore::new(), MemoryStore::new()];
    for store in &stores {
        append(store, common.clone()).await;
    }
    append(&stores[1], second).await;
    let switched = Switched::new(&stores[0]);
    let takings = Arc::new(Mutex::new(Vec::new()));
    let subscription = Subscription::new("takings", switched.clone(), OnFailure::stop())
        .handler(Takings(Arc::clone(&takings)));
    let stop = Arc::new(Notify::new());
    let mut run = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move { subscription.run_until(stop.notified()).await })
    };
    switched.is_read_to_its_end().await;
    append(&stores[0], first).await;
    switched.lead_to(&stores[0]);
    switched.is_read_to_its_end().await;
    let checkpoint = stores[0].checkpoint("takings").await.unwrap();
    stores[1].move_checkpoint("takings", Checkpoint::START, checkpoint).await.unwrap();
    switched.lead_to(&stores[1]);
    let outcome = tokio::select! {
        outcome = &mut run => outcome,
        () = switched.is_read_to_its_end() => {
            stop.notify_one();
            run.await
        }
    };
    let takings = takings.lock().unwrap().clone();
    (takings, outcome.unwrap())
}

#[tokio::test]
async fn a_log_that_lacks_the_last_events_is_not_read_on() {
    // None of these are the subscription's own, so they are passed over and no checkpoint is moved for them.
    let lost = (0..5).map(|_| event(&Noted)).collect();
    // What it would miss: these have the positions of those.
    let new = (10..20).map(|amount| event(&Paid { amount })).collect();
    let (takings, outcome) = taken_over_a_switch(lost, new).await;
    let Err(SubscriptionError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(error.kind(), StoreErrorKind::ForeignCheckpoint { .. }), "{error}");
    assert_eq!(takings, [1], "nothing after a hole is handled");
}

#[tokio::test]
async fn a_log_that_lacks_nothing_is_read_on() {
    let last: Vec<_> = (0..5).map(|_| event(&Noted)).collect();
    let mut whole = last.clone();
    whole.push(event(&Paid { amount: 2 }));
    let (takings, outcome) = taken_over_a_switch(last, whole).await;
    outcome.unwrap();
    assert_eq!(takings, [1, 2]);
}
