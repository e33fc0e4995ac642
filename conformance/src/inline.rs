//! Inline projections: their rows are there with the append, or neither is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use factum_core::store::Append;
use factum_core::{AppendError, EventStore, Expected, Inline, StoreErrorKind, Transactional, Version};

use crate::Fixture;
use crate::given::{event_named, events, some, stream};
use crate::projection::{Noting, notes};
use crate::race::race;
use crate::seen::{append, everything, soon, versions, whole};

/// When an append is acknowledged its rows are there, in the order of positions, also those of several streams.
pub async fn rows_are_there_with_the_append<F: Fixture>(fixture: F) {
    let (fixture, store) = projecting(fixture);
    append(&store, some(&stream("1"), 1)).await;
    assert_eq!(notes(&*fixture).await, ["inline: order/1@1"]);
    let several =
        Append::to(stream("2"), Expected::Any, events(2)).and(stream("1"), Expected::Any, events(1));
    append(&store, several).await;
    let read = everything(fixture.store()).await;
    let expected: Vec<_> =
        read.iter().map(|event| format!("inline: {}@{}", event.stream, event.version)).collect();
    assert_eq!(notes(&*fixture).await, expected);
    // What nobody wants is appended all the same.
    append(&store, Append::to(stream("3"), Expected::Any, vec![event_named("unwanted")])).await;
    assert_eq!(notes(&*fixture).await, expected);
}

/// More events than a page holds come to the projection all the same.
pub async fn rows_of_a_long_append_are_there<F: Fixture>(fixture: F) {
    let (fixture, store) = projecting(fixture);
    append(&store, some(&stream("1"), 2500)).await;
    let expected: Vec<_> = (1..=2500).map(|version| format!("inline: order/1@{version}")).collect();
    assert_eq!(notes(&*fixture).await, expected);
}

/// Where a projection fails nothing is appended, and the store goes on.
pub async fn a_projection_that_fails_prevents_the_append<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let projection = Noting::new(&fixture, "inline");
    let fails_on = Arc::clone(&projection.fails_on);
    let store = Inline::new(fixture.store().clone()).handler(projection);
    let before = append(&store, some(&stream("1"), 1)).await.position;
    let given = some(&stream("1"), 3);
    // The second of them, where nobody else draws positions.
    fails_on.store(before.0 + 2, Ordering::SeqCst);
    let failed = store.append(given.clone()).await;
    let Err(AppendError::Store(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(*error.kind(), StoreErrorKind::ProjectionFailed, "{error:?}");
    assert_eq!(versions(&whole(&store, &stream("1")).await), [1]);
    assert_eq!(notes(&*fixture).await, ["inline: order/1@1"]);

    fails_on.store(0, Ordering::SeqCst);
    append(&store, given).await;
    assert_eq!(versions(&whole(&store, &stream("1")).await), [1, 2, 3, 4]);
    assert_eq!(notes(&*fixture).await.len(), 4);
}

/// A transaction in which a projection has failed is not committed, whatever its owner does.
pub async fn a_spoilt_transaction_is_not_committed<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let projection = Noting::new(&fixture, "inline");
    let fails_on = Arc::clone(&projection.fails_on);
    let store = Inline::new(fixture.store().clone()).handler(projection);
    let first = append(&store, some(&stream("1"), 1)).await.position;
    fails_on.store(first.0 + 1, Ordering::SeqCst);
    let mut tx = store.begin().await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("2"), 1)).await.expect_err("the projection fails");
    fails_on.store(0, Ordering::SeqCst);
    store.append_in(&mut tx, some(&stream("3"), 1)).await.expect_err("it is spoilt");
    let error = store.commit(tx).await.expect_err("it is spoilt");
    assert_eq!(*error.kind(), StoreErrorKind::ProjectionFailed);
    assert_eq!(soon("a read", everything(fixture.store())).await.len(), 1);
    assert_eq!(notes(&*fixture).await, ["inline: order/1@1"]);
}

/// An append that is repeated has its rows once.
pub async fn a_repeated_append_has_its_rows_once<F: Fixture>(fixture: F) {
    let (fixture, store) = projecting(fixture);
    let given = some(&stream("1"), 2);
    let first = append(&store, given.clone()).await;
    assert_eq!(append(&store, given.clone()).await, first);
    let mut tx = store.begin().await.expect("a transaction begins");
    store.append_in(&mut tx, given).await.expect("a repetition is answered");
    store.commit(tx).await.expect("it commits");
    assert_eq!(notes(&*fixture).await, ["inline: order/1@1", "inline: order/1@2"]);
}

/// What is appended in a transaction has its rows with the transaction: several appends, a conflict between them, or none.
pub async fn rows_belong_to_the_transaction<F: Fixture>(fixture: F) {
    let (fixture, store) = projecting(fixture);
    let mut tx = store.begin().await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("1"), 1)).await.expect("nothing is expected");
    drop(tx);
    assert_eq!(soon("a read", notes(&*fixture)).await, Vec::<String>::new());

    let mut tx = soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins");
    store.append_in(&mut tx, some(&stream("1"), 1)).await.expect("nothing is expected");
    let wrong = Append::to(stream("1"), Expected::Exactly(Version(7)), events(1));
    let refused = store.append_in(&mut tx, wrong).await.expect_err("it is at another version");
    assert!(matches!(refused, AppendError::Conflict(_)), "{refused:?}");
    store.append_in(&mut tx, some(&stream("1"), 1)).await.expect("nothing is expected");
    assert_eq!(notes(&*fixture).await, Vec::<String>::new());
    store.commit(tx).await.expect("it commits");
    assert_eq!(notes(&*fixture).await, ["inline: order/1@1", "inline: order/1@2"]);
}

/// Of racing appends those that win have rows, and the others have none.
pub async fn rows_are_those_of_the_winners<F: Fixture>(fixture: F) {
    let (fixture, store) = projecting(fixture);
    append(&store, some(&stream("1"), 4)).await;
    for round in 4..14 {
        let racers = (0..4).map(|_| {
            let store = store.clone();
            let given = Append::to(stream("1"), Expected::Exactly(Version(round)), events(1));
            async move { store.append(given).await.is_ok() }
        });
        assert_eq!(race(racers).await.into_iter().filter(|won| *won).count(), 1);
    }
    let mut expected: Vec<_> = (1..=14).map(|version| format!("inline: order/1@{version}")).collect();
    let mut noted = notes(&*fixture).await;
    expected.sort();
    noted.sort();
    assert_eq!(noted, expected);
}

fn projecting<F: Fixture>(fixture: F) -> (Arc<F>, Inline<F::Store>) {
    let fixture = Arc::new(fixture);
    let store = Inline::new(fixture.store().clone()).handler(Noting::new(&fixture, "inline"));
    (fixture, store)
}
