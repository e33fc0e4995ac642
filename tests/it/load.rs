//! Loading: now, at a version, and what is not there.

use factum::memory::MemoryStore;
use factum::{Aggregate, Apply, Event, Events, Handle, LoadError, Repository, Version};
use serde::{Deserialize, Serialize};

use crate::domain::{Order, OrderEvent, Status, place, ship};

fn orders() -> Repository<Order> {
    // Pages of two events, so that longer streams are read in several.
    Repository::new(MemoryStore::new()).page_events(2)
}

#[tokio::test]
async fn state_is_the_fold_of_all_events() {
    let orders = orders();
    orders.execute(&1, place()).await.unwrap();
    for parcel in ["a", "b", "c", "d"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    let order = orders.load(&1).await.unwrap();
    assert_eq!(order.version(), Version(5));
    assert_eq!(order.parcels, ["a", "b", "c", "d"]);
    assert_eq!(order.lines, ["Kind of Blue"]);
}

#[tokio::test]
async fn the_past_can_be_loaded() {
    let orders = orders();
    orders.execute(&1, place()).await.unwrap();
    for parcel in ["a", "b", "c"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    for (version, parcels) in [(1, ""), (2, "a"), (3, "ab"), (4, "abc")] {
        let then = orders.load_at(&1, Version(version)).await.unwrap();
        assert_eq!((then.version(), then.parcels.concat()), (Version(version), parcels.to_owned()));
    }
}

#[tokio::test]
async fn a_version_that_never_was_is_an_error() {
    let orders = orders();
    orders.execute(&1, place()).await.unwrap();
    for asked in [Version(0), Version(2), Version::MAX] {
        let error = orders.load_at(&1, asked).await.unwrap_err();
        let LoadError::NoSuchVersion { asked: told, last, .. } = error else { panic!("{error:?}") };
        assert_eq!((told, last), (asked, Version(1)));
    }
    for asked in [Version(0), Version(1)] {
        let error = orders.load_at(&2, asked).await.unwrap_err();
        assert!(matches!(error, LoadError::NotFound { .. }), "{error:?}");
    }
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "bell.rung")]
struct Rung;

#[derive(Aggregate, Default, Debug, PartialEq)]
#[aggregate(category = "bell", id = String, event = Rung)]
struct Bell;

impl Apply<Rung> for Bell {
    fn apply(&mut self, _: Rung) {}
}

struct Ring;

impl Handle<Ring> for Bell {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Ring) -> Result<Events<Rung>, Self::Error> {
        Ok(Events::one(Rung))
    }
}

#[tokio::test]
async fn not_found_is_not_the_same_as_empty() {
    let bells = Repository::<Bell>::new(MemoryStore::new());
    let (rung, silent) = ("rung".to_owned(), "silent".to_owned());
    bells.execute(&rung, Ring).await.unwrap();

    let loaded = bells.load(&rung).await.unwrap();
    assert_eq!((loaded.state(), loaded.version()), (&Bell, Version(1)));
    assert!(bells.find(&rung).await.unwrap().is_some());

    let error = bells.load(&silent).await.unwrap_err();
    assert_eq!(error.to_string(), "bell/silent does not exist");
    assert!(matches!(error, LoadError::NotFound { .. }));
    assert!(bells.find(&silent).await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_that_no_stream_can_have_is_an_error() {
    let bells = Repository::<Bell>::new(MemoryStore::new());
    let id = "a\nb".to_owned();
    assert!(matches!(bells.load(&id).await, Err(LoadError::Invalid(_))));
    let error = bells.execute(&id, Ring).await.unwrap_err();
    assert!(error.to_string().contains("control character at byte 1"), "{error}");
}

#[tokio::test]
async fn events_come_in_pages() {
    let orders = orders();
    orders.execute(&1, place()).await.unwrap();
    for parcel in ["a", "b", "c"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    let first = orders.events(&1, Version::NONE, 3).await.unwrap();
    assert_eq!(first.iter().map(|event| event.version.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(first[0].event, OrderEvent::Placed(_)));
    let second = orders.events(&1, first[2].version, 3).await.unwrap();
    assert_eq!(second.len(), 1);
    assert!(orders.events(&2, Version::NONE, 3).await.unwrap().is_empty());
    assert_eq!(orders.load(&1).await.unwrap().status, Status::Shipped);
}
