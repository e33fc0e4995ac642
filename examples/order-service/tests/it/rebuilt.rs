//! A database that an older program has left: its projection is built anew while orders come in, by processes that are killed in
//! the middle, and readers never see half of it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use factum::{EventStore, Repository, Transactional};
use order_service::domain::{Cents, CustomerId, Line, Order, OrderId, Pay, Place, Product};
use order_service::import::{Options, import};
use order_service::read::ReadModel;
use order_service::report::Report;
use order_service::shop::Shop;
use sqlx::{PgPool, SqlitePool};

use crate::{first_lines, input, shops};

/// How many purchases there are before. They are some batches of each of those who build.
const PURCHASES: usize = 12_000;

/// How often those who build are killed.
const KILLS: u32 = 3;

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the program before this one would have left: its rows and its checkpoint, and nothing of ours.
const AS_IT_WAS: [&str; 5] = [
    "INSERT INTO spend_per_customer_1 SELECT customer, orders, cds, cents FROM spend_per_customer_2",
    "DELETE FROM spend_per_customer_2",
    "DELETE FROM factum_checkpoints WHERE subscription LIKE 'spend-per-customer@2/%'",
    "UPDATE factum_checkpoints SET subscription = 'spend-per-customer' WHERE subscription = 'spend-per-customer@2'",
    "DROP VIEW spend_per_customer",
];
const VIEW_OF_SQLITE: &str = "CREATE VIEW spend_per_customer AS
    SELECT customer, orders, cds, cents, NULL AS last_order FROM spend_per_customer_1";
const VIEW_OF_POSTGRES: &str = "CREATE VIEW spend_per_customer AS
    SELECT customer, orders, cds, cents, NULL::date AS last_order FROM spend_per_customer_1";

/// What a reader sees: how many customers, for how many of them the last order is known, and what they have spent.
const SEEN: &str =
    "SELECT count(*), count(last_order), CAST(coalesce(sum(cents), 0) AS bigint) FROM spend_per_customer";

/// How far the workers have come, both together.
const BUILT: &str = "SELECT CAST(coalesce(sum(position), 0) AS bigint)
    FROM factum_checkpoints
    WHERE subscription = 'spend-per-customer@2/bulk'";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_in_sqlite() {
    let (shop, folder) = shops::sqlite().await;
    let file = folder.path().join("orders.db");
    let pool = SqlitePool::connect(&format!("sqlite:{}", file.display())).await.expect("it is there");
    fill(&shop).await;
    for statement in AS_IT_WAS.into_iter().chain([VIEW_OF_SQLITE]) {
        sqlx::query(statement).execute(&pool).await.expect("it is what we know");
    }
    let seen = async || sqlx::query_as(SEEN).fetch_one(&pool).await.expect("it can be read");
    let built = async || sqlx::query_scalar(BUILT).fetch_one(&pool).await.expect("it can be read");
    rebuild_under_fire(&shop, file.to_str().expect("a plain path"), seen, built).await;
    pool.close().await;
    shop.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_in_postgres() {
    let (shop, database) = shops::postgres().await;
    let pool = PgPool::connect(database.url()).await.expect("it is there");
    fill(&shop).await;
    for statement in AS_IT_WAS.into_iter().chain([VIEW_OF_POSTGRES]) {
        sqlx::query(statement).execute(&pool).await.expect("it is what we know");
    }
    let seen = async || sqlx::query_as(SEEN).fetch_one(&pool).await.expect("it can be read");
    let built = async || sqlx::query_scalar(BUILT).fetch_one(&pool).await.expect("it can be read");
    rebuild_under_fire(&shop, database.url(), seen, built).await;
    pool.close().await;
    shop.store.close().await;
}

async fn fill<S, R>(shop: &Shop<S, R>)
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    import(shop, input(first_lines(PURCHASES)), Options::default(), |_, _| {})
        .await
        .expect("all are purchases");
}

async fn rebuild_under_fire<S, R>(
    shop: &Shop<S, R>,
    store: &str,
    seen: impl AsyncFn() -> (i64, i64, i64),
    built: impl AsyncFn() -> i64,
) where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let (customers, known, spent) = seen().await;
    assert!(customers > 0 && known == 0 && spent > 0);
    let is_over = Arc::new(AtomicBool::new(false));
    let ordering = tokio::spawn(order_until(shop.orders.clone(), Arc::clone(&is_over)));
    // Nobody sees less than there was, or a mixture of the two versions.
    let look = async || {
        let (now, known, spends) = seen().await;
        assert!(now >= customers && spends >= spent, "half of it: {now} customers, {spends} cents");
        assert!(known == 0 || known == now, "{known} of {now} customers are of the new version");
        known > 0
    };

    let (mut kills, mut reached) = (0, 0);
    let begun = Instant::now();
    while kills < KILLS {
        let mut builder = Command::new(env!("CARGO_BIN_EXE_order-service"))
            .args(["--store", store, "report"])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let ended = loop {
            assert!(begun.elapsed() < PATIENCE, "only {kills} were killed in the middle");
            assert!(!look().await, "it was swapped in before {KILLS} of them were killed");
            let now = built().await;
            if now > reached {
                reached = now;
                builder.kill().expect("it can be killed");
                kills += 1;
                break builder.wait().expect("it was started");
            }
            if let Some(ended) = builder.try_wait().expect("it was started") {
                break ended;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert!(!ended.success(), "it was finished before it was killed");
    }

    // The last one is let be.
    let mut builder = Command::new(env!("CARGO_BIN_EXE_order-service"))
        .args(["--store", store, "report"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut is_swapped = false;
    while builder.try_wait().expect("it was started").is_none() {
        assert!(begun.elapsed() < PATIENCE, "it is not built");
        let sees_new = look().await;
        assert!(sees_new || !is_swapped, "the old version came back");
        is_swapped = sees_new;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(look().await, "the new version is in use");
    is_over.store(true, Ordering::SeqCst);
    let ordered = ordering.await.expect("no panic");

    shop.catch_up().await.expect("the projections are fine");
    let total = Report::of(&shop.read).await.expect("it can be read").total;
    assert_eq!(total.orders, i64::try_from(PURCHASES).expect("few") + ordered);
    assert_eq!(total.spent, Cents(spent + 100 * ordered));
}

/// Somebody orders something, again and again, for a dollar.
async fn order_until(orders: Repository<Order>, is_over: Arc<AtomicBool>) -> i64 {
    let mut ordered = 0;
    while !is_over.load(Ordering::SeqCst) {
        let id = OrderId(format!("live-{ordered}"));
        let lines = vec![Line { product: Product("CD".into()), quantity: 1, total: Cents(100) }];
        let customer = CustomerId(format!("{:05}", ordered % 50 + 1));
        orders.execute(&id, Place { customer, lines }).await.expect("the store is fine");
        orders.execute(&id, Pay { amount: Cents(100) }).await.expect("the store is fine");
        ordered += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ordered
}
