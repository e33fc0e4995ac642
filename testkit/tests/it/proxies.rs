//! Proxies: they forward everything until they are told what to break.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use factum_testkit::{Counts, Database, Error, OwnServer, Postgres, Proxy};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use crate::databases::{execute, one};

/// Long enough for an answer, if there is one.
const A_WHILE: Duration = Duration::from_millis(500);

/// A database with an empty table, and a proxy in front of it.
async fn given() -> (Database, Proxy) {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    execute(database.url(), "CREATE TABLE things (name text NOT NULL)").await;
    let proxy = Proxy::in_front_of(database.url()).unwrap();
    (database, proxy)
}

async fn connect(proxy: &Proxy) -> PgConnection {
    PgConnection::connect(proxy.url()).await.unwrap()
}

async fn works(connection: &mut PgConnection) -> bool {
    sqlx::raw_sql("SELECT 1").execute(connection).await.is_ok()
}

/// What a client is told whose connection is gone.
async fn failure(connection: &mut PgConnection) -> ErrorKind {
    io_error(sqlx::raw_sql("SELECT 1").execute(connection).await.map(|_| ()))
}

fn io_error(outcome: Result<(), sqlx::Error>) -> ErrorKind {
    match outcome {
        Err(sqlx::Error::Io(error)) => error.kind(),
        other => panic!("not an error of the network: {other:?}"),
    }
}

/// A connection that says nothing of Postgres after its first message: the client's end and the server's.
fn bare() -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = Proxy::in_front_of(&format!("postgres://u@127.0.0.1:{port}/db")).unwrap();
    let address = proxy.url().split(['@', '/']).nth(3).unwrap().to_owned();
    let mut client = TcpStream::connect(address).unwrap();
    let startup = [&[0, 0, 0, 15, 0, 3, 0, 0][..], b"user\0u\0"].concat();
    client.write_all(&startup).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut received = vec![0; startup.len()];
    server.read_exact(&mut received).unwrap();
    assert_eq!(received, startup);
    for end in [&client, &server] {
        end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    (proxy, client, server)
}

/// Whether an answer does not come, which is not an error.
async fn is_silent(connection: &mut PgConnection) -> bool {
    timeout(A_WHILE, sqlx::raw_sql("SELECT 1").execute(connection)).await.is_err()
}

async fn add(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO things (name) VALUES ($1)").bind(name).execute(connection).await.map(|_| ())
}

async fn add_in_transaction(connection: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    add(&mut transaction, name).await?;
    transaction.commit().await
}

async fn things(database: &Database) -> String {
    one(database.url(), "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM things").await
}

/// How many others are connected to the database.
async fn sessions(database: &Database) -> usize {
    let query = "SELECT count(*)::text FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    one(database.url(), query).await.parse().unwrap()
}

async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if condition().await {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("waited too long until {what}");
}

#[tokio::test]
async fn forwards_everything() {
    let (database, proxy) = given().await;
    // More than fits into any buffer on the way.
    let large = "x".repeat(3 << 20);

    let mut connection = connect(&proxy).await;
    add(&mut connection, &large).await.unwrap();
    let back: String =
        sqlx::query_scalar("SELECT name FROM things").fetch_one(&mut connection).await.unwrap();

    assert_eq!(back, large);
    assert_eq!(proxy.connections(), 1);
    connection.close().await.unwrap();
    eventually("the server has noticed", async || sessions(&database).await == 0).await;
    eventually("it is forgotten", async || proxy.connections() == 0).await;
}

#[tokio::test]
async fn reads_along_although_the_client_prefers_tls() {
    let (_database, proxy) = given().await;

    let url = proxy.url().replace("sslmode=disable", "sslmode=prefer");

    assert_eq!(one(&url, "SELECT 'here'").await, "here");
}

#[tokio::test]
async fn leads_to_the_other_databases_of_the_server() {
    let (_database, proxy) = given().await;
    let other = Postgres::shared().unwrap().database().await.unwrap();

    let url = proxy.url_through(other.url());

    assert_eq!(one(&url, "SELECT current_database()::text").await, other.name());
}

#[tokio::test]
async fn counts_what_it_forwards() {
    let (_database, proxy) = given().await;
    let mut connection = connect(&proxy).await;
    assert_eq!(proxy.round_trips(), 0, "to connect is not counted");

    assert!(works(&mut connection).await);
    assert_eq!(proxy.counts(), Counts { queries: 1, ..Counts::default() });

    proxy.reset_counts();
    add(&mut connection, "first").await.unwrap();
    assert_eq!(proxy.round_trips(), 2, "to prepare it, and to execute it");

    proxy.reset_counts();
    add(&mut connection, "second").await.unwrap();
    assert_eq!(proxy.counts(), Counts { binds: 1, executes: 1, syncs: 1, ..Counts::default() });
    assert_eq!(proxy.round_trips(), 1);
}

#[tokio::test]
async fn a_cut_closes_what_is_open_on_both_sides() {
    let (database, proxy) = given().await;
    let mut connections = [connect(&proxy).await, connect(&proxy).await];
    assert_eq!(sessions(&database).await, 2);

    proxy.cut();

    for connection in &mut connections {
        assert!(!works(connection).await);
    }
    eventually("the server has noticed", async || sessions(&database).await == 0).await;
    assert!(works(&mut connect(&proxy).await).await);
}

#[test]
fn a_cut_is_an_end_and_a_reset_an_error() {
    let (proxy, mut client, mut server) = bare();
    proxy.cut();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);

    let (proxy, mut client, mut server) = bare();
    proxy.reset();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_is_reset_is_not_cut_before() {
    let (proxy, mut client, mut server) = bare();
    proxy.reset();
    proxy.cut();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_was_silent_can_be_reset() {
    let (proxy, mut client, mut server) = bare();
    proxy.silence();
    client.write_all(b"lost").unwrap();
    proxy.reset();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_ends_what_is_open_on_both_sides() {
    let (database, proxy) = given().await;
    let mut connections = [connect(&proxy).await, connect(&proxy).await];
    assert_eq!(sessions(&database).await, 2);

    proxy.reset();

    eventually("they are forgotten", async || proxy.connections() == 0).await;
    for connection in &mut connections {
        assert_eq!(failure(connection).await, ErrorKind::ConnectionReset);
    }
    eventually("the server has noticed", async || sessions(&database).await == 0).await;
    assert!(works(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn refuses_only_new_connections() {
    let (_database, proxy) = given().await;
    let mut open = connect(&proxy).await;

    proxy.refuse();
    proxy.refuse();

    let refused = PgConnection::connect(proxy.url()).await.unwrap_err();
    assert!(matches!(refused, sqlx::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused));
    assert!(works(&mut open).await);
    proxy.heal().unwrap();
    assert!(works(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn silence_is_told_to_nobody() {
    let (database, proxy) = given().await;
    let mut idle = connect(&proxy).await;
    let mut asking = connect(&proxy).await;
    let leaving = connect(&proxy).await;

    proxy.silence();

    assert!(is_silent(&mut asking).await);
    assert!(timeout(A_WHILE, PgConnection::connect(proxy.url())).await.is_err());
    let _ = timeout(A_WHILE, leaving.close()).await;
    assert_eq!(sessions(&database).await, 3, "the server believes that all are there");

    proxy.heal().unwrap();
    assert!(works(&mut idle).await, "it has lost nothing");
    assert!(is_silent(&mut asking).await, "it has lost something");
    assert!(works(&mut connect(&proxy).await).await);

    proxy.cut();
    assert!(!works(&mut asking).await);
    eventually("all are gone", async || sessions(&database).await == 0).await;
    eventually("all are forgotten", async || proxy.connections() == 0).await;
}

#[tokio::test]
async fn silence_hides_the_death_of_the_server() {
    let server = OwnServer::start().unwrap();
    let proxy = Proxy::in_front_of(server.url()).unwrap();
    let mut connection = connect(&proxy).await;

    proxy.silence();
    server.kill().unwrap();

    assert!(is_silent(&mut connection).await);
}

#[tokio::test]
async fn delays_both_directions() {
    let (_database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.delay(Duration::from_millis(150));
    let begun = Instant::now();
    assert!(works(&mut connection).await);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());

    proxy.delay(Duration::from_mins(1));
    assert!(is_silent(&mut connection).await);
    let begun = Instant::now();
    proxy.heal().unwrap();
    assert!(works(&mut connect(&proxy).await).await);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_commit_that_is_cut_before_did_not_happen() {
    let (database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.cut_before("COMMIT");
    assert_eq!(proxy.rules_waiting(), 1);
    add_in_transaction(&mut connection, "first").await.unwrap_err();

    assert_eq!(proxy.rules_waiting(), 0);
    eventually("the server has noticed", async || sessions(&database).await == 0).await;
    assert_eq!(things(&database).await, "");
    add_in_transaction(&mut connect(&proxy).await, "again").await.unwrap();
    assert_eq!(things(&database).await, "again");
}

#[tokio::test]
async fn a_commit_that_is_cut_after_did_happen() {
    let (database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.cut_after("COMMIT");
    add_in_transaction(&mut connection, "first").await.unwrap_err();

    assert_eq!(things(&database).await, "first", "already when the client learns that it is cut off");
    assert_eq!(proxy.rules_waiting(), 0);
    add_in_transaction(&mut connect(&proxy).await, "next").await.unwrap();
}

#[tokio::test]
async fn a_commit_that_is_reset_after_did_happen() {
    let (database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.reset_after("COMMIT");
    let told = add_in_transaction(&mut connection, "first").await;

    assert_eq!(io_error(told), ErrorKind::ConnectionReset);
    assert_eq!(things(&database).await, "first", "already when the client learns of the reset");
    assert_eq!(proxy.rules_waiting(), 0);
    add_in_transaction(&mut connect(&proxy).await, "next").await.unwrap();
}

#[tokio::test]
async fn a_commit_that_is_reset_during_has_reached_the_server_and_nobody_waits_for_it() {
    let (database, proxy) = given().await;
    // What is done at the commit takes longer than the client is kept waiting.
    execute(
        database.url(),
        "CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER pause AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION pause()",
    )
    .await;
    let mut connection = connect(&proxy).await;

    proxy.reset_during("COMMIT");
    let told = add_in_transaction(&mut connection, "first").await;

    assert_eq!(io_error(told), ErrorKind::ConnectionReset);
    assert_eq!(proxy.rules_waiting(), 0);
    assert_eq!(things(&database).await, "", "it is under way");
    eventually("it is done", async || things(&database).await == "first").await;
}

#[tokio::test]
async fn a_statement_that_is_reset_during_is_passed_on_as_a_whole() {
    let (database, proxy) = given().await;
    let mut connection = connect(&proxy).await;
    add(&mut connection, "known").await.unwrap();

    proxy.reset_during("INTO things");
    let told = add(&mut connection, "new").await;

    assert_eq!(io_error(told), ErrorKind::ConnectionReset);
    eventually("it is done", async || things(&database).await == "known new").await;
}

#[tokio::test]
async fn a_cut_after_waits_until_the_server_is_done() {
    let (database, proxy) = given().await;

    proxy.cut_after("repeat");
    let mut connection = connect(&proxy).await;
    // The beginning of the answer is more than the server keeps back, and the end comes much later.
    let slow = "INSERT INTO things VALUES (repeat('x', 100000)) RETURNING name; SELECT pg_sleep(0.5)";
    sqlx::raw_sql(slow).execute(&mut connection).await.unwrap_err();

    assert_eq!(things(&database).await.len(), 100_000);
}

#[tokio::test]
async fn a_statement_counts_when_it_is_executed_and_not_when_it_is_prepared() {
    for (is_known, is_done) in [(false, false), (false, true), (true, false), (true, true)] {
        let (database, proxy) = given().await;
        let mut connection = connect(&proxy).await;
        if is_known {
            add(&mut connection, "known").await.unwrap();
        }

        if is_done {
            proxy.cut_after("INTO things");
        } else {
            proxy.cut_before("INTO things");
        }
        proxy.reset_counts();
        add(&mut connection, "new").await.unwrap_err();

        assert_eq!(proxy.counts().executes, usize::from(is_done));
        eventually("the server has noticed", async || sessions(&database).await == 0).await;
        let expected = [is_known.then_some("known"), is_done.then_some("new")];
        assert_eq!(things(&database).await, expected.into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
}

#[tokio::test]
async fn other_statements_do_not_fire_a_rule() {
    let (_database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.cut_before("no such statement");
    add_in_transaction(&mut connection, "first").await.unwrap();
    assert_eq!(proxy.rules_waiting(), 1);

    proxy.heal().unwrap();
    assert_eq!(proxy.rules_waiting(), 0);
}

#[tokio::test]
async fn swallows_one_answer() {
    let (database, proxy) = given().await;
    let mut connection = connect(&proxy).await;

    proxy.swallow_answer(2);
    assert!(works(&mut connection).await);
    let swallowed = execute(proxy.url(), "INSERT INTO things VALUES ('swallowed')");

    assert!(timeout(A_WHILE, swallowed).await.is_err());
    assert_eq!(things(&database).await, "swallowed");
    assert!(works(&mut connection).await);
    assert!(works(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn closes_a_connection_whose_server_is_away() {
    let server = OwnServer::start().unwrap();
    let proxy = Proxy::in_front_of(server.url()).unwrap();
    let mut connection = connect(&proxy).await;

    server.kill().unwrap();

    assert!(!works(&mut connection).await);
    PgConnection::connect(proxy.url()).await.unwrap_err();
    server.start_again().unwrap();
    assert!(works(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn a_dropped_proxy_is_gone() {
    let (database, proxy) = given().await;
    let url = proxy.url().to_owned();
    let mut connection = connect(&proxy).await;

    drop(proxy);

    assert!(!works(&mut connection).await);
    let refused = PgConnection::connect(&url).await.unwrap_err();
    assert!(matches!(refused, sqlx::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused));
    eventually("the server has noticed", async || sessions(&database).await == 0).await;
}

#[test]
fn needs_a_server_that_is_reached_by_tcp() {
    let refused = Proxy::in_front_of("postgres:///db?host=/run/postgresql").unwrap_err();

    assert!(matches!(refused, Error::NoAddress));
}
