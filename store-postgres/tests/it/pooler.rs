//! Behind a pooler in transaction mode, which gives each transaction whatever connection is free.

use std::time::Duration;

use factum_core::store::Append;
use factum_core::{AppendError, EventStore, Expected, NewEvent, StoreErrorKind, Transactional, Version};
use factum_postgres::PostgresStore;
use factum_testkit::PgBouncer;

use crate::given::{all_events, database, event, events_of, kind_of, one, stream};

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_behind_a_pooler() {
    let database = database().await;
    let bouncer = PgBouncer::in_front_of(database.url()).expect("pgbouncer is installed");
    let pooled = || PostgresStore::builder().transaction_pooler(true).connect(bouncer.url());
    // Two processes, as it were, whose statements have the same names.
    let (store, other) = (pooled().await.expect("connects"), pooled().await.expect("connects"));
    store.migrate().await.expect_err("migrations need a direct connection");

    let mut tasks = Vec::new();
    for task in 0..16 {
        let store = if task % 2 == 0 { store.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            let own = format!("own-{task}");
            for version in 0..10 {
                let append = one(&own, Expected::Exactly(Version(version)));
                let appended = store.append(append.clone()).await.expect("nobody else writes");
                assert_eq!(store.append(append).await.expect("is repeated"), appended);
                store.append(one("shared", Expected::Any)).await.expect("nothing is expected");
                assert_eq!(
                    events_of(&store, &own).await.last().map(|event| event.version.0),
                    Some(version + 1)
                );
                let stale = store.append(one(&own, Expected::NoStream)).await;
                assert!(matches!(stale, Err(AppendError::Conflict(_))), "{stale:?}");
                let mut tx = store.begin().await.expect("begins");
                sqlx::query("SELECT 1").execute(&mut *tx).await.expect("runs");
                let _ = store.append_in(&mut tx, one("within", Expected::Any)).await.expect("appends");
                if version % 2 == 0 {
                    store.commit(tx).await.expect("commits");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let events = all_events(&store).await;
    assert_eq!(events.len(), 160 + 160 + 80);
    assert_eq!(events, all_events(&other).await);
    assert_eq!(events_of(&store, "shared").await.len(), 160);
    assert_eq!(events_of(&store, "within").await.len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn reused_ids_are_told_behind_a_pooler() {
    let database = database().await;
    let bouncer = PgBouncer::in_front_of(database.url()).expect("pgbouncer is installed");
    let store = PostgresStore::builder()
        .transaction_pooler(true)
        .retry_for(Duration::ZERO)
        .connect(bouncer.url())
        .await
        .expect("connects");
    let first = one("1", Expected::Any);
    store.append(first.clone()).await.expect("appends");
    // The version is as expected, so it is the constraint that refuses the id.
    let same = NewEvent { id: first.events().next().expect("it has one").id, ..event() };
    let reused = store.append(Append::to(stream("2"), Expected::NoStream, vec![same])).await;
    assert!(matches!(reused, Err(AppendError::IdReused(_))), "{reused:?}");
    store.append(one("2", Expected::NoStream)).await.expect("appends");
    store.close().await;
    assert_eq!(kind_of(store.append(one("3", Expected::Any)).await), StoreErrorKind::Closed);
}
