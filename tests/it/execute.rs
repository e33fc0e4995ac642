//! Executing commands: decisions, conflicts, repetitions, lost answers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use factum::memory::MemoryStore;
use factum::retention::Retention;
use factum::store::{Append, Limits, ReadAll};
use factum::{
    Cause, Codec, CommandId, Conflict, EventId, EventStore, ExecuteError, Expected, Invalid, Loaded,
    Metadata, NewEvent, Position, RecordedEvent, Repository, StreamId, Version,
};

use crate::domain::{Cancel, Order, OrderError, OrderEvent, OrderShipped, Status, place, ship};
use crate::faulty::{Fault, Faulty};

fn stream() -> StreamId {
    StreamId::new("order", "1").unwrap()
}

/// An append of somebody else who ships order 1.
fn foreign_ship(parcel: &str) -> Append {
    let event = OrderEvent::from(OrderShipped { parcel: parcel.into() });
    let new = NewEvent::encode(&event, Codec::Json, Metadata::default()).unwrap();
    Append::to(stream(), Expected::Any, vec![new])
}

/// A placed order, in a store that then has these faults.
async fn placed(faults: impl IntoIterator<Item = Fault>) -> (Repository<Order>, Arc<Faulty>) {
    let memory = MemoryStore::new();
    Repository::<Order>::new(memory.clone()).execute(&1, place()).await.unwrap();
    let store = Arc::new(Faulty::new(memory, faults));
    (Repository::new(store.clone()), store)
}

async fn all(store: &impl EventStore) -> Vec<RecordedEvent> {
    let read = ReadAll::after(Position::START).limit(1000);
    store.read_all(read).await.unwrap().events
}

#[tokio::test]
async fn a_rejection_writes_nothing() {
    let (orders, store) = placed([]).await;
    let error = orders.execute(&1, place()).await.unwrap_err();
    let ExecuteError::Rejected(OrderError::Is(Status::Placed)) = error else { panic!("{error:?}") };
    assert_eq!((all(&store).await.len(), store.appends()), (1, 0));
}

#[tokio::test]
async fn no_events_is_a_success_that_writes_nothing() {
    let (orders, store) = placed([]).await;
    orders.execute(&1, Cancel).await.unwrap();
    let order = orders.execute(&1, Cancel).await.unwrap();
    assert_eq!((order.status, order.version()), (Status::Cancelled, Version(2)));
    assert_eq!(store.appends(), 1);
}

#[tokio::test]
async fn a_conflict_is_decided_again_on_the_newer_state() {
    let faults = [Fault::Overtaken(foreign_ship("theirs")), Fault::Overtaken(foreign_ship("theirs too"))];
    let (orders, store) = placed(faults).await;
    let order = orders.execute(&1, ship("ours")).await.unwrap();
    assert_eq!(order.parcels, ["theirs", "theirs too", "ours"]);
    assert_eq!(order.version(), Version(4));
    assert_eq!(store.appends(), 3);
}

#[tokio::test]
async fn the_newer_state_may_say_no() {
    let cancelled = {
        let event = OrderEvent::from(crate::domain::OrderCancelled);
        NewEvent::encode(&event, Codec::Json, Metadata::default()).unwrap()
    };
    let (orders, store) =
        placed([Fault::Overtaken(Append::to(stream(), Expected::Any, vec![cancelled]))]).await;
    let error = orders.execute(&1, ship("ours")).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Rejected(OrderError::Is(Status::Cancelled))), "{error:?}");
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn gives_up_after_the_last_attempt_with_the_facts() {
    let faults: Vec<_> = ["a", "b", "c", "d"].map(|parcel| Fault::Overtaken(foreign_ship(parcel))).into();
    let (orders, store) = placed(faults).await;
    let error = orders.execute(&1, ship("ours")).await.unwrap_err();
    let ExecuteError::Conflict(conflict) = error else { panic!("{error:?}") };
    let facts =
        Conflict { stream: stream(), expected: Expected::Exactly(Version(3)), actual: Some(Version(4)) };
    assert_eq!(conflict, facts);
    assert_eq!(store.appends(), 3);
    assert!(all(&store).await.iter().all(|event| !event.payload.windows(4).any(|bytes| bytes == b"ours")));
}

#[tokio::test]
async fn the_number_of_attempts_can_be_chosen() {
    let (orders, store) = placed([Fault::Overtaken(foreign_ship("a"))]).await;
    let error = orders.execute(&1, ship("ours")).attempts(1).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Conflict(_)), "{error:?}");
    assert_eq!(store.appends(), 1);
}

#[tokio::test]
async fn a_stale_version_the_caller_saw_is_a_conflict() {
    let (orders, store) = placed([]).await;
    orders.execute(&1, ship("a")).expecting(Version(1)).await.unwrap();
    let error = orders.execute(&1, ship("b")).expecting(Version(1)).await.unwrap_err();
    let ExecuteError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((conflict.expected, conflict.actual), (Expected::Exactly(Version(1)), Some(Version(2))));
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn who_states_a_version_is_never_decided_again() {
    let (orders, store) = placed([Fault::Overtaken(foreign_ship("theirs"))]).await;
    let error = orders.execute(&1, ship("ours")).expecting(Version(1)).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Conflict(_)), "{error:?}");
    assert_eq!(store.appends(), 1);
}

#[tokio::test]
async fn version_0_means_that_it_does_not_exist() {
    let (orders, _) = placed([]).await;
    orders.execute(&2, place()).expecting(Version::NONE).await.unwrap();
    let error = orders.execute(&1, place()).expecting(Version::NONE).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Conflict(_)), "{error:?}");
}

#[tokio::test]
async fn a_command_with_an_id_takes_effect_once() {
    let (orders, store) = placed([]).await;
    let id = CommandId::from_key("parcel 1");
    let first = orders.execute(&1, ship("a")).command_id(id).await.unwrap();
    orders.execute(&1, ship("b")).await.unwrap();
    // Not the state of today, but the answer of then.
    let again = orders.execute(&1, ship("a")).command_id(id).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(all(&store).await.len(), 3);
}

#[tokio::test]
async fn a_repeated_command_answers_as_then_however_it_is_executed() {
    let (orders, store) = placed([]).await;
    let id = CommandId::from_key("parcel 1");
    let first = orders.execute(&1, ship("a")).command_id(id).await.unwrap();
    orders.execute(&1, ship("b")).await.unwrap();
    let now = orders.load(&1).await.unwrap();
    for repeated in [
        orders.execute(&1, ship("a")).command_id(id).assume_new().await,
        orders.execute(&1, ship("a")).command_id(id).starting_from(now).await,
        orders.execute(&1, ship("a")).command_id(id).expecting(Version(1)).await,
        orders.execute(&1, ship("a")).command_id(id).expecting(Version(9)).await,
    ] {
        assert_eq!(repeated.unwrap(), first);
    }
    assert_eq!(all(&store).await.len(), 3);
}

#[tokio::test]
async fn a_command_id_belongs_to_one_aggregate() {
    let (orders, store) = placed([]).await;
    let id = CommandId::from_key("cancel");
    orders.execute(&1, Cancel).command_id(id).await.unwrap();
    orders.execute(&2, Cancel).command_id(id).await.unwrap();
    assert_eq!(all(&store).await.len(), 3);
}

#[tokio::test]
async fn assuming_that_it_is_new_saves_loading() {
    let (orders, store) = placed([]).await;
    let order = orders.execute(&2, place()).assume_new().await.unwrap();
    assert_eq!((order.version(), order.status), (Version(1), Status::Placed));
    assert_eq!((store.loads(), store.appends()), (0, 1));
    let order = orders.execute(&2, ship("a")).starting_from(order).await.unwrap();
    assert_eq!((order.version(), order.parcels.concat()), (Version(2), "a".to_owned()));
    assert_eq!((store.loads(), store.appends()), (0, 2));
    assert_eq!(orders.load(&2).await.unwrap(), order);
}

#[tokio::test]
async fn a_wrong_assumption_changes_the_cost_and_not_the_outcome() {
    let (orders, _) = placed([]).await;
    // Cancelling something new would be fine, and so it is for something placed: decided on the real state.
    let order = orders.execute(&1, Cancel).assume_new().await.unwrap();
    assert_eq!((order.version(), order.status, order.lines.len()), (Version(2), Status::Cancelled, 1));

    // A new order may not be shipped; the real one may.
    let (orders, _) = placed([]).await;
    let order = orders.execute(&1, ship("a")).assume_new().await.unwrap();
    assert_eq!(order.version(), Version(2));

    // A stale state would lead to nothing; the real one leads to something.
    let (orders, _) = placed([]).await;
    let stale: Loaded<Order> = orders.execute(&3, Cancel).await.unwrap();
    let order = orders.execute(&1, Cancel).starting_from(stale).await.unwrap();
    assert_eq!((order.version(), order.lines.len()), (Version(2), 1));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let (orders, store) = placed([Fault::AnswerLost, Fault::AppendLost]).await;
    let order = orders.execute(&1, ship("a")).await.unwrap();
    assert_eq!((order.version(), order.parcels.concat()), (Version(2), "a".to_owned()));
    assert_eq!(all(&store).await.len(), 2);
    assert_eq!(store.appends(), 3);
}

#[tokio::test]
async fn an_answer_lost_for_good_is_told() {
    let (orders, store) = placed(vec![Fault::AppendLost; 9]).await;
    let error = orders.execute(&1, ship("a")).await.unwrap_err();
    assert!(error.to_string().contains("outcome is unknown"), "{error}");
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn what_is_said_about_a_command_is_kept_with_its_events() {
    let (orders, store) = placed([]).await;
    let time: DateTime<Utc> = "1997-01-01T00:00:00.123456789Z".parse().unwrap();
    let cause = Cause { correlation_id: uuid::Uuid::from_u128(1), causation_id: EventId::new() };
    orders
        .execute(&1, ship("a"))
        .actor("Ada")
        .occurred_at(time)
        .field("ip", "::1")
        .caused_by(cause)
        .await
        .unwrap();
    let event = all(&store).await.remove(1);
    let expected = Metadata {
        correlation_id: Some(cause.correlation_id),
        causation_id: Some(cause.causation_id),
        actor: Some("Ada".into()),
        occurred_at: Some(time),
        fields: [("ip".to_owned(), "::1".to_owned())].into(),
        ..Metadata::default()
    };
    assert_eq!(event.metadata, expected);
}

#[tokio::test]
async fn too_large_a_payload_is_refused_before_anything_is_written() {
    let store = MemoryStore::with_limits(Limits { payload_bytes_max: 100, ..Limits::default() });
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    let error = orders.execute(&1, ship(&"x".repeat(100))).await.unwrap_err();
    let ExecuteError::Invalid(Invalid::PayloadTooLarge { bytes_max: 100, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn of_racing_commands_all_take_effect_once() {
    let (orders, store) = placed([]).await;
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let orders = orders.clone();
            tokio::spawn(async move { orders.execute(&1, ship(&n.to_string())).attempts(100).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let mut parcels = orders.load(&1).await.unwrap().into_state().parcels;
    parcels.sort_by_key(|parcel| parcel.parse::<u32>().unwrap());
    assert_eq!(parcels, (0..16).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(all(&store).await.len(), 17);
}

#[tokio::test]
async fn a_command_whose_events_were_truncated_is_not_executed_again() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    let id = CommandId::from_key("ship once");
    orders.execute(&1, ship("a")).command_id(id).await.unwrap();
    orders.execute(&1, ship("b")).await.unwrap();
    orders.execute(&1, ship("c")).await.unwrap();
    store.truncate_stream(&stream(), Version(4)).await.unwrap();
    let left = all(&store).await;
    let order = orders.execute(&1, ship("a")).command_id(id).await.unwrap();
    assert_eq!((order.version(), order.parcels.len()), (Version(4), 1), "the order as it is now");
    assert_eq!(all(&store).await, left);
}
