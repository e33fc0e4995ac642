//! Databases: fresh ones that share nothing, and copies of a template that is made once.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use factum_testkit::{Error, Postgres};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;

use crate::{
    child::{self, Process},
    servers,
};

pub(crate) async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

pub(crate) async fn one(url: &str, query: &str) -> String {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let value = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    value
}

pub(crate) async fn has_table(url: &str, table: &str) -> bool {
    one(url, &format!("SELECT (to_regclass('{table}') IS NOT NULL)::text")).await == "true"
}

/// A template key that no other run has used: the shared server outlives this one.
fn key(test: &str) -> String {
    format!("{test} of process {}", process::id())
}

#[tokio::test]
async fn two_databases_share_nothing() {
    let postgres = Postgres::shared().unwrap();
    let first = postgres.database().await.unwrap();
    let other = postgres.database().await.unwrap();

    execute(first.url(), "CREATE TABLE things ()").await;

    assert!(has_table(first.url(), "things").await);
    assert!(!has_table(other.url(), "things").await);
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_while_it_is_used() {
    let postgres = Postgres::shared().unwrap();
    let witness = postgres.database().await.unwrap();
    let explicit = postgres.database().await.unwrap();
    let implicit = postgres.database().await.unwrap();
    let names = [explicit.name().to_owned(), implicit.name().to_owned()];
    let _in_use = PgConnection::connect(explicit.url()).await.unwrap();
    let _in_use_too = PgConnection::connect(implicit.url()).await.unwrap();

    explicit.drop().await.unwrap();
    drop(implicit);

    for name in names {
        let count = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{name}'");
        assert_eq!(one(witness.url(), &count).await, "0", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn concurrent_callers_fill_a_template_once() {
    let postgres = Postgres::shared().unwrap();
    let key = key("once");
    let fillings = Arc::new(AtomicUsize::new(0));

    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (postgres, key, fillings) = (postgres.clone(), key.clone(), Arc::clone(&fillings));
        callers.spawn(async move {
            postgres
                .database_like(&key, async |url| {
                    fillings.fetch_add(1, Ordering::SeqCst);
                    execute(url, "CREATE TABLE things ()").await;
                    // Long enough for the others to come by.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok(())
                })
                .await
                .unwrap()
        });
    }
    let databases = callers.join_all().await;

    assert_eq!(fillings.load(Ordering::SeqCst), 1);
    for database in &databases {
        assert!(has_table(database.url(), "things").await);
    }
}

#[tokio::test]
async fn copies_of_a_template_share_nothing() {
    let postgres = Postgres::shared().unwrap();
    let (key, setup) = (key("copies"), async |_: &str| Ok(()));
    let first = postgres.database_like(&key, setup).await.unwrap();
    let other = postgres.database_like(&key, setup).await.unwrap();

    execute(first.url(), "CREATE TABLE things ()").await;

    assert!(!has_table(other.url(), "things").await);
}

#[tokio::test]
async fn another_key_is_another_template() {
    let postgres = Postgres::shared().unwrap();
    let fill = async |url: &str| {
        execute(url, "CREATE TABLE things ()").await;
        Ok(())
    };
    postgres.database_like(&key("one"), fill).await.unwrap();

    let other = postgres.database_like(&key("another"), async |_| Ok(())).await.unwrap();

    assert!(!has_table(other.url(), "things").await);
}

#[tokio::test]
async fn after_a_failed_setup_the_next_caller_starts_over() {
    let postgres = Postgres::shared().unwrap();
    let key = key("failed");

    let failed = postgres
        .database_like(&key, async |url| {
            execute(url, "CREATE TABLE half_made ()").await;
            Err("the migration is wrong".into())
        })
        .await;
    let database = postgres
        .database_like(&key, async |url| {
            execute(url, "CREATE TABLE complete ()").await;
            Ok(())
        })
        .await
        .unwrap();

    assert!(matches!(failed, Err(Error::Setup { .. })));
    assert!(format!("{:?}", failed.unwrap_err()).ends_with(": the migration is wrong"));
    assert!(has_table(database.url(), "complete").await);
    assert!(!has_table(database.url(), "half_made").await);
}

#[tokio::test]
async fn after_a_kill_during_setup_the_next_caller_starts_over() {
    let options = servers::options(&format!("half-made-{}", process::id()));
    // Joined before the other process, so that the server, and the half-made template with it, outlives that one.
    let postgres = Postgres::start(&options).unwrap();
    let mut process = Process::spawn(&mut child::command("die while it fills a template", &options.name));
    process.listen();
    process.kill();

    let database = postgres
        .database_like("shared by both", async |url| {
            execute(url, "CREATE TABLE complete ()").await;
            Ok(())
        })
        .await
        .unwrap();

    assert!(has_table(database.url(), "complete").await);
    assert!(!has_table(database.url(), "half_made").await);
}

#[tokio::test]
async fn a_setup_that_leaves_a_connection_open_is_told_so() {
    let postgres = Postgres::shared().unwrap();
    let mut left_open = None;

    let refused = postgres
        .database_like(&key("left open"), async |url| {
            left_open = Some(PgConnection::connect(url).await?);
            Ok(())
        })
        .await;

    assert!(matches!(refused, Err(Error::SetupStillConnected { .. })), "{refused:?}");
}
