//! Those who follow the feed meanwhile.

use std::time::Duration;

use factum_core::store::{Filter, ReadAll};
use factum_core::{Checkpoint, EventId, EventStore, Position, RecordedEvent, StreamId, Version};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::CATEGORIES;
use crate::given::{some, stream_of};
use crate::seen::{append, soon};

/// What one who follows the feed has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub(super) filter: Filter,
    pub(super) events: Vec<Place>,
    /// How far it has read.
    pub(super) up_to: Position,
}

/// An event as far as it matters who has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) id: EventId,
    pub(super) stream: StreamId,
    pub(super) version: Version,
}

impl From<&RecordedEvent> for Place {
    fn from(event: &RecordedEvent) -> Self {
        let RecordedEvent { position, id, version, .. } = *event;
        Self { position, id, stream: event.stream.clone(), version }
    }
}

/// Tasks that follow the feed.
#[derive(Debug)]
pub struct Followers {
    tasks: Vec<JoinHandle<Seen>>,
    end: watch::Sender<Option<Position>>,
}

impl Followers {
    /// Some for each of these stores, with and without a filter, in small pages and in large ones.
    pub fn of<S: EventStore + Clone>(stores: &[S]) -> Self {
        let (end, ends) = watch::channel(None);
        let one = Filter { categories: vec![CATEGORIES[0].to_owned()], ..Filter::all() };
        let tasks = stores.iter().flat_map(|store| {
            [(Filter::all(), 7), (Filter::all(), 1000), (one.clone(), 50)]
                .map(|(filter, limit)| tokio::spawn(follow(store.clone(), filter, limit, ends.clone())))
        });
        Self { tasks: tasks.collect(), end }
    }

    /// What they have seen when they have read all that is there now.
    ///
    /// # Panics
    ///
    /// If they do not come to it soon.
    pub async fn up_to_here<S: EventStore>(self, store: &S) -> Vec<Seen> {
        let last = append(store, some(&stream_of("end", &EventId::new().to_string()), 1)).await;
        self.end.send_replace(Some(last.position));
        let mut seen = Vec::new();
        for task in self.tasks {
            seen.push(soon("the end of following", task).await.expect("a follower does not panic"));
        }
        seen
    }
}

/// Reads as a subscription does, until the end is known and reached.
async fn follow<S: EventStore>(
    store: S,
    filter: Filter,
    limit: usize,
    end: watch::Receiver<Option<Position>>,
) -> Seen {
    let (mut events, mut up_to) = (Vec::new(), Checkpoint::START);
    loop {
        // For the end, which wakes nobody.
        let _ = tokio::time::timeout(Duration::from_millis(50), store.wait(up_to.position)).await;
        let read = ReadAll::after(up_to).filter(filter.clone()).limit(limit).following();
        let page = match store.read_all(read).await {
            Ok(page) => page,
            // Somebody may be killing it.
            Err(error) if error.is_transient() => continue,
            Err(error) => panic!("the feed can be read: {error:?}"),
        };
        assert!(page.checkpoint.position >= up_to.position, "{:?} comes after {up_to:?}", page.checkpoint);
        up_to = page.checkpoint;
        events.extend(page.events.iter().map(Place::from));
        if end.borrow().is_some_and(|end| up_to.position >= end) {
            return Seen { filter, events, up_to: up_to.position };
        }
    }
}
