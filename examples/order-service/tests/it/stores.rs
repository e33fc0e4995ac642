//! Import, report and history are the same on every store.

use std::fs::File;
use std::io::BufReader;

use chrono::NaiveDate;
use factum::sqlite::SqliteStore;
use factum::{EventStore, LoadError, Repository, Transactional};
use futures_util::future::try_join_all;
use order_service::domain::{Cancel, Cents, OrderId, Ship, Status};
use order_service::history::history;
use order_service::import::{Options, Progress, import};
use order_service::read::{Month, ReadModel, Spend, SqliteRead};
use order_service::report::Report;
use order_service::shop::Shop;

use crate::{FILE, first_lines, input, shops};

async fn import_text<S, R>(shop: &Shop<S, R>, text: &str) -> Progress
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    import(shop, input(text), Options::default(), |_, _| {}).await.expect("all lines are purchases")
}

async fn print_history<S, R>(shop: &Shop<S, R>, order: &str) -> String {
    let mut text = String::new();
    history(&shop.orders, &OrderId(order.into()), |part| text.push_str(part)).await.expect("it was placed");
    text
}

/// Imports twice, ships and cancels, and tells what was printed on the way.
async fn live<S, R>(shop: &Shop<S, R>) -> Vec<String>
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let text = first_lines(1000);
    let first = import_text(shop, &text).await;
    assert_eq!((first.purchases, first.new, first.bad), (1000, 1000, 0));
    assert_eq!(first.bytes, text.len() as u64);
    let imported = Report::of(&shop.read).await.expect("it can be read");
    assert_eq!(imported.total.orders, 1000);

    let again = import_text(shop, &text).await;
    assert_eq!((again.purchases, again.new, again.bad), (1000, 0, 0));
    assert_eq!(Report::of(&shop.read).await.expect("it can be read"), imported);

    let order = |line: u32| OrderId(format!("cdnow-{line}"));
    let ship = Ship { parcel: "P1".into() };
    shop.orders.execute(&order(2), ship).await.expect("it is paid");
    let cancel = Cancel { reason: "scratched".into() };
    let cancelled = shop.orders.execute(&order(4), cancel).await.expect("it is not shipped");
    assert_eq!(cancelled.status(), Status::Cancelled);
    shop.catch_up().await.expect("the projections are fine");
    let after = Report::of(&shop.read).await.expect("it can be read");
    // Line 4 is `00002 19970112  5   77.00`; it is paid back today.
    let Spend { orders, cds, spent, last_order } = imported.total;
    let spent = spent + -Cents(7700);
    assert_eq!(after.total, Spend { orders: orders - 1, cds: cds - 5, spent, last_order });
    assert_eq!(after.months.iter().map(|(_, revenue)| *revenue).sum::<Cents>(), after.total.spent);

    let mut printed = vec![imported.to_string(), print_history(shop, "cdnow-2").await];
    // The day of the cancellation is today; everything else is the same every day.
    let today = chrono::Utc::now().format("%Y-%m-").to_string();
    printed.extend(
        print_history(shop, "cdnow-4").await.lines().filter(|line| !line.contains(&today)).map(String::from),
    );
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_tells_the_same_story() {
    let in_memory = live(&shops::memory()).await;
    let history = &in_memory[1];
    let expected = r#"order/cdnow-2

  1  1997-01-01  Placed(OrderPlaced { customer: CustomerId("00001"), lines: [Line { product: Product("CD"), quantity: 1, total: Cents(1177) }] })
     then  Order { status: Placed, customer: Some(CustomerId("00001")), lines: [Line { product: Product("CD"), quantity: 1, total: Cents(1177) }], paid: Cents(0), delivery: None }

  2  1997-01-01  Paid(OrderPaid { customer: CustomerId("00001"), amount: Cents(1177) })
     then  Order { status: Paid, customer: Some(CustomerId("00001")), lines: [Line { product: Product("CD"), quantity: 1, total: Cents(1177) }], paid: Cents(1177), delivery: None }
"#;
    assert!(history.starts_with(expected), "{history}");
    assert!(history.contains("Shipped(OrderShipped { parcel: \"P1\" })"), "{history}");

    let (sqlite, _folder) = shops::sqlite().await;
    assert_eq!(live(&sqlite).await, in_memory);
    let (postgres, _database) = shops::postgres().await;
    assert_eq!(live(&postgres).await, in_memory);
}

/// The figures that are known of the whole history.
async fn whole<S, R>(shop: &Shop<S, R>)
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let file = BufReader::new(File::open(FILE).expect("the file is part of the example"));
    import(shop, file, Options::default(), |_, _| {}).await.expect("all lines are purchases");
    let report = Report::of(&shop.read).await.expect("it can be read");
    assert_eq!(report.customers, 23_570);
    let last_order = NaiveDate::from_ymd_opt(1998, 6, 30);
    assert_eq!(report.total, Spend { orders: 69_659, cds: 167_881, spent: Cents(250_031_563), last_order });
    assert_eq!(report.months.len(), 18);
    assert_eq!(report.months[0].0, Month("1997-01".into()));
    assert_eq!(report.months.iter().map(|(_, revenue)| *revenue).sum::<Cents>(), Cents(250_031_563));
    assert_eq!(report.best.len(), 10);
    assert!(report.best.is_sorted_by(|left, right| left.1.spent >= right.1.spent));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_history_adds_up_in_memory() {
    whole(&shops::memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_history_adds_up_in_sqlite() {
    let (shop, _folder) = shops::sqlite().await;
    whole(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_history_adds_up_in_postgres() {
    let (shop, _database) = shops::postgres().await;
    whole(&shop).await;
}

#[tokio::test]
async fn an_order_that_was_never_placed_has_no_history() {
    let orders: Repository<_> = shops::memory().orders;
    let error = history(&orders, &OrderId("cdnow-1".into()), |_| ()).await.expect_err("never placed");
    assert!(matches!(error, LoadError::NotFound { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_is_opened_by_many_at_once_in_sqlite() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("orders.db");
        let store = SqliteStore::connect(&file).await.expect("a file");
        let pool = store.pool();
        let migrate = || SqliteRead::migrate(&file, pool.clone());
        try_join_all((0..8).map(|_| migrate())).await.expect("each finds the tables, or makes them");
        try_join_all((0..4).map(|_| Shop::in_file(&file))).await.expect("and opens the shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_is_opened_by_many_at_once_in_postgres() {
    for _ in 0..3 {
        let database = shops::database().await;
        try_join_all((0..4).map(|_| Shop::in_database(database.url())))
            .await
            .expect("each finds it, or makes it");
    }
}
