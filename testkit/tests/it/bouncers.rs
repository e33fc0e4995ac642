//! A `PgBouncer`: in transaction mode, and gone with its user.

use std::path::Path;

use factum_testkit::{OwnServer, PgBouncer, Postgres};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{
    child::{self, Process},
    servers::{processes_of, wait_until},
};

/// The answer to a statement that is not prepared.
async fn ask(connection: &mut PgConnection, query: &'static str) -> String {
    sqlx::raw_sql(query).fetch_one(connection).await.unwrap().get(0)
}

fn is_gone(folder: &Path) -> bool {
    !folder.exists() && processes_of(folder).is_empty()
}

#[tokio::test]
async fn lends_out_sessions_for_a_transaction_at_a_time() {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    let bouncer = PgBouncer::in_front_of(database.url()).unwrap();
    let session = "SELECT pg_backend_pid()::text";

    let mut first = PgConnection::connect(bouncer.url()).await.unwrap();
    let mut other = PgConnection::connect(bouncer.url()).await.unwrap();

    let shared = ask(&mut first, session).await;
    assert_eq!(ask(&mut other, session).await, shared);
    let mut transaction = first.begin().await.unwrap();
    let held = ask(&mut transaction, session).await;
    assert_ne!(ask(&mut other, session).await, held);
    assert_eq!(ask(&mut transaction, session).await, held);
    assert_eq!(ask(&mut transaction, "SELECT current_database()::text").await, database.name());
}

#[tokio::test]
async fn leads_to_all_databases_of_the_server() {
    let server = OwnServer::start().unwrap();
    let bouncer = PgBouncer::in_front_of(server.url()).unwrap();
    let other = bouncer.url_through(&server.url_of("template1"));

    let mut connection = PgConnection::connect(&other).await.unwrap();

    assert_eq!(ask(&mut connection, "SELECT current_database()::text").await, "template1");
}

#[tokio::test]
async fn asks_for_the_password_as_well() {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    let bouncer = PgBouncer::in_front_of(database.url()).unwrap();
    let (_, address) = bouncer.url().rsplit_once('@').unwrap();

    PgConnection::connect(&format!("postgres://postgres:guess@{address}")).await.unwrap_err();
    PgConnection::connect(&format!("postgres://someone:guess@{address}")).await.unwrap_err();
}

#[tokio::test]
async fn a_dropped_one_leaves_nothing_behind() {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    let bouncer = PgBouncer::in_front_of(database.url()).unwrap();
    let (folder, url) = (bouncer.folder().to_owned(), bouncer.url().to_owned());
    let _open = PgConnection::connect(&url).await.unwrap();

    drop(bouncer);

    PgConnection::connect(&url).await.unwrap_err();
    wait_until("all is gone", || is_gone(&folder));
}

#[tokio::test]
async fn a_killed_process_leaves_none_behind() {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    let mut user = Process::spawn(&mut child::command("use a PgBouncer", database.url()));
    let said = user.listen();
    let folder = Path::new(&said);
    assert_eq!(processes_of(folder).len(), 2, "it and its watchdog: {said}");

    user.kill();

    wait_until("all is gone", || is_gone(folder));
}

#[test]
fn a_missing_one_is_an_error_that_says_what_to_do() {
    let mut process = Process::spawn(
        child::command("use a PgBouncer", "postgres://127.0.0.1/db").env("FACTUM_PGBOUNCER", "/nonexistent"),
    );

    let said = process.listen();

    for hint in ["/nonexistent", "apt-get install pgbouncer", "FACTUM_PGBOUNCER", "./test.sh"] {
        assert!(said.contains(hint), "`{hint}` is missing in: {said}");
    }
}
