//! Streams as a whole, as aggregates meet them; commands in a transaction; and a store that is copied.

use factum::memory::MemoryStore;
use factum::retention::{Closing, Retention};
use factum::transfer::{export, import};
use factum::{Checkpoint, EventStore, ExecuteError, Expected, LoadError, Repository, Transactional, Version};

use crate::domain::{Order, Status, place, ship};

async fn given() -> (MemoryStore, Repository<Order>) {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone()).page_events(2);
    orders.execute(&1, place()).await.unwrap();
    for parcel in ["a", "b", "c"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    (store, orders)
}

#[tokio::test]
async fn a_closed_aggregate_says_so_to_whoever_loads_it_or_commands_it() {
    for closing in [Closing::Deleted, Closing::Archived] {
        let (store, orders) = given().await;
        let stream = Repository::<Order>::stream(&1).unwrap();
        match closing {
            Closing::Deleted => store.delete_stream(&stream, Expected::Any).await.unwrap(),
            Closing::Archived => store.archive_stream(&stream, Expected::Any).await.unwrap(),
        };
        let Err(LoadError::Closed(closed)) = orders.load(&1).await else { panic!("it is closed") };
        assert_eq!((closed.stream, closed.closing), (stream, closing));
        assert!(matches!(orders.execute(&1, ship("d")).await, Err(ExecuteError::Closed(_))));
        assert!(matches!(orders.execute(&1, place()).assume_new().await, Err(ExecuteError::Closed(_))));
        assert!(matches!(orders.find(&1).await, Err(LoadError::Closed(_))));
    }
}

#[tokio::test]
async fn a_restored_aggregate_is_as_it_was_and_goes_on() {
    let (store, orders) = given().await;
    let before = orders.load(&1).await.unwrap().into_state();
    let stream = Repository::<Order>::stream(&1).unwrap();
    store.archive_stream(&stream, Expected::Any).await.unwrap();
    store.restore_stream(&stream).await.unwrap();
    let after = orders.load(&1).await.unwrap();
    assert_eq!((after.version(), after.state()), (Version(6), &before));
    assert_eq!(orders.load_at(&1, Version(4)).await.unwrap().into_state(), before);
    let shipped = orders.execute(&1, ship("d")).expecting(Version(6)).await.unwrap();
    assert_eq!((shipped.version(), shipped.parcels.len()), (Version(7), 4));
    // What happened to the stream is no event of the aggregate's.
    assert_eq!(orders.events(&1, Version::NONE, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_truncated_aggregate_begins_with_what_is_left() {
    let (store, orders) = given().await;
    let stream = Repository::<Order>::stream(&1).unwrap();
    store.truncate_stream(&stream, Version(3)).await.unwrap();
    let left = orders.load(&1).await.unwrap();
    assert_eq!((left.version(), left.parcels.concat()), (Version(4), "bc".to_owned()));
    let shipped = orders.execute(&1, ship("d")).await.unwrap();
    assert_eq!((shipped.version(), shipped.parcels.concat()), (Version(5), "bcd".to_owned()));
    assert_eq!(orders.load_at(&1, Version(3)).await.unwrap().parcels.concat(), "b");
}

#[tokio::test]
async fn commands_in_a_transaction_happen_together_or_not_at_all() {
    let (store, orders) = given().await;
    for commits in [false, true] {
        let mut tx = store.begin().await.unwrap();
        let placed = orders.execute(&2, place()).within(&store, &mut tx).await.unwrap();
        assert_eq!((placed.version(), placed.state().status), (Version(1), Status::Placed));
        // The next one sees what the first has done, and what is rejected leaves the rest as it was.
        let again = orders.execute(&2, place()).within(&store, &mut tx).await;
        assert!(matches!(again, Err(ExecuteError::Rejected(_))), "{again:?}");
        let stale = orders.execute(&1, ship("x")).expecting(Version(1)).within(&store, &mut tx).await;
        assert!(matches!(stale, Err(ExecuteError::Conflict(_))), "{stale:?}");
        let shipped = orders.execute(&2, ship("a")).within(&store, &mut tx).await.unwrap();
        assert!(orders.find(&2).await.unwrap().is_none());
        if commits {
            store.commit_with_checkpoint(tx, "s", Checkpoint::START, Checkpoint::START).await.unwrap();
            assert_eq!(*orders.load(&2).await.unwrap(), *shipped.committed());
        }
    }
}

#[tokio::test]
async fn a_copy_of_a_store_has_the_same_aggregates() {
    let (store, orders) = given().await;
    let mut file = Vec::new();
    assert_eq!(export(&store, &mut file).await.unwrap(), 4);
    let copy = MemoryStore::new();
    assert_eq!(import(&copy, &file[..]).await.unwrap(), 4);
    let copied = Repository::<Order>::new(copy.clone());
    assert_eq!(*copied.load(&1).await.unwrap(), *orders.load(&1).await.unwrap());
    let id =
        copy.read_stream(factum::store::ReadStream::last("order/1".parse().unwrap())).await.unwrap().events
            [0]
        .id;
    assert!(store.find_event(id).await.unwrap().is_some());
}
