//! Import beside others who use the database. That it ends where the network falls silent is in `network`.

use std::time::Duration;

use factum_core::retention::Retention as _;
use factum_core::transfer::{Transfer as _, TransferError, export, import};
use factum_core::{EventStore as _, Expected, Position, StoreErrorKind, Transactional as _, Version};
use factum_postgres::PostgresStore;
use factum_testkit::PgBouncer;

use crate::given::{
    ALL_IS_QUIET, SOMEBODY_WAITS_FOR_THE_LOCK, all_events, database, kind_of, one, positions, store,
    stranger, stream, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_sees_what_was_committed_while_it_waited_for_its_turn() {
    let database = database().await;
    let store = store(&database).await;
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
    let importing = tokio::spawn({
        let store = store.clone();
        async move { store.begin_import().await.map(drop) }
    });
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    store.commit(tx).await.expect("commits");
    let refused = importing.await.expect("no panic").expect_err("it is not empty");
    assert!(matches!(refused, TransferError::NotEmpty { found: Position(1) }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_appends_while_an_import_goes_on_and_everybody_goes_on_after_it() {
    let database = database().await;
    let builder =
        PostgresStore::builder().answer_timeout(Duration::from_millis(200)).retry_for(Duration::ZERO);
    let store = builder.connect(database.url()).await.expect("connects");
    let import_of_nothing = store.begin_import().await.expect("it is empty");
    assert_eq!(kind_of(store.append(one("1", Expected::Any)).await), StoreErrorKind::Busy);
    assert_eq!(all_events(&store).await, []);
    drop(import_of_nothing);
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    let nothing = "{\"factum_export\":1}\n{\"end_after\":0}\n";
    assert_eq!(import(&store, nothing.as_bytes()).await.expect("it is an export"), 0);
    store.append(one("1", Expected::NoStream)).await.expect("appends");
    assert_eq!(positions(&all_events(&store).await), [1], "no position was drawn for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_copied_behind_a_pooler() {
    let (database, other) = (database().await, database().await);
    let (store, copy) = (store(&database).await, PostgresStore::builder().transaction_pooler(true));
    for id in ["live", "archived", "deleted"] {
        store.append(one(id, Expected::Any)).await.expect("appends");
    }
    store.archive_stream(&stream("archived"), Expected::Any).await.expect("is there");
    store.delete_stream(&stream("deleted"), Expected::Any).await.expect("is there");
    let bouncer = PgBouncer::in_front_of(other.url()).expect("pgbouncer is installed");
    let copy = copy.connect(bouncer.url()).await.expect("connects");
    let (mut file, mut again) = (Vec::new(), Vec::new());
    export(&store, &mut file).await.expect("exports");
    import(&copy, &file[..]).await.expect("imports");
    export(&copy, &mut again).await.expect("exports");
    assert_eq!(again, file);
    copy.append(one("live", Expected::Exactly(Version(1)))).await.expect("goes on");
}
