//! Servers of one test: they can be broken and come back with all that was committed.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use factum_testkit::OwnServer;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use crate::{
    child::{self, Process},
    databases::{execute, has_table, one},
    servers::{processes_of, wait_until},
};

/// Long enough for an answer, if there is one.
const A_WHILE: Duration = Duration::from_millis(500);

/// The command lines of all processes.
fn titles() -> impl Iterator<Item = String> {
    let commands = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    commands.map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
}

fn is_gone(folder: &Path) -> bool {
    !folder.exists() && !folder.with_added_extension("gone").exists() && processes_of(folder).is_empty()
}

#[tokio::test]
async fn what_was_committed_survives_a_kill_and_nothing_else_does() {
    let server = OwnServer::start().unwrap();
    let url = server.url().to_owned();
    execute(&url, "CREATE TABLE things (); INSERT INTO things DEFAULT VALUES").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut open = connection.begin().await.unwrap();
    sqlx::raw_sql("INSERT INTO things DEFAULT VALUES").execute(&mut *open).await.unwrap();

    server.kill().unwrap();

    assert!(open.commit().await.is_err());
    PgConnection::connect(&url).await.unwrap_err();
    server.start_again().unwrap();
    assert_eq!(server.url(), url);
    assert_eq!(one(&url, "SELECT count(*)::text FROM things").await, "1");
    let log = fs::read_to_string(server.folder().join("data/server.log")).unwrap();
    assert!(log.contains("automatic recovery in progress"), "{log}");
}

#[tokio::test]
async fn a_kill_ends_every_process_at_once() {
    let server = OwnServer::start().unwrap();
    let mut connection = PgConnection::connect(server.url()).await.unwrap();
    let backend: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let log = server.folder().join("data/server.log");
    let before = fs::read_to_string(&log).unwrap();

    server.kill().unwrap();

    let stat = fs::read_to_string(format!("/proc/{backend}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    assert_eq!(fs::read_to_string(&log).unwrap(), before, "nobody had time to say anything");
}

#[tokio::test]
async fn survives_several_kills_on_the_same_port() {
    let server = OwnServer::start().unwrap();
    execute(server.url(), "CREATE TABLE things ()").await;

    for round in 1..=3 {
        execute(server.url(), "INSERT INTO things DEFAULT VALUES").await;
        server.kill().unwrap();
        server.start_again().unwrap();
        assert_eq!(one(server.url(), "SELECT count(*)::text FROM things").await, round.to_string());
    }
}

#[tokio::test]
async fn stops_and_starts_as_an_administrator_would() {
    let server = OwnServer::start().unwrap();
    execute(server.url(), "CREATE TABLE things ()").await;
    server.start_again().unwrap();

    server.stop().unwrap();
    PgConnection::connect(server.url()).await.unwrap_err();
    server.stop().unwrap();
    server.start_again().unwrap();

    assert!(has_table(server.url(), "things").await);
    let log = fs::read_to_string(server.folder().join("data/server.log")).unwrap();
    assert!(!log.contains("automatic recovery in progress"), "{log}");
}

#[tokio::test]
async fn is_durable_and_takes_prepared_transactions() {
    let server = OwnServer::start().unwrap();

    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("max_connections", "200"),
        ("max_prepared_transactions", "10"),
        ("wal_level", "replica"),
    ] {
        assert_eq!(one(server.url(), &format!("SHOW {setting}")).await, value, "{setting}");
    }
}

#[tokio::test]
async fn a_paused_server_answers_when_it_goes_on() {
    let server = OwnServer::start().unwrap();
    let mut connection = PgConnection::connect(server.url()).await.unwrap();

    server.pause().unwrap();
    assert!(timeout(A_WHILE, PgConnection::connect(server.url())).await.is_err());
    let mut answer = Box::pin(sqlx::raw_sql("SELECT 1").execute(&mut connection));
    assert!(timeout(A_WHILE, &mut answer).await.is_err());
    server.resume().unwrap();

    answer.await.unwrap();
}

#[tokio::test]
async fn a_paused_server_can_be_killed_and_stopped() {
    let server = OwnServer::start().unwrap();

    server.pause().unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    server.pause().unwrap();
    server.stop().unwrap();
    server.start_again().unwrap();

    assert_eq!(one(server.url(), "SELECT 'here'").await, "here");
}

#[tokio::test]
async fn a_standby_follows_and_only_reads() {
    let primary = OwnServer::start().unwrap();
    execute(primary.url(), "CREATE DATABASE other").await;
    let standby = primary.standby().unwrap();
    execute(primary.url(), "CREATE TABLE things ()").await;

    standby.catch_up_with(&primary).unwrap();

    assert!(has_table(standby.url(), "things").await);
    assert_eq!(one(&standby.url_of("other"), "SELECT current_database()::text").await, "other");
    let mut connection = PgConnection::connect(standby.url()).await.unwrap();
    let refused = sqlx::raw_sql("DROP TABLE things").execute(&mut connection).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("25006"));
}

#[tokio::test]
async fn a_standby_takes_over() {
    let primary = OwnServer::start().unwrap();
    let standby = primary.standby().unwrap();
    execute(primary.url(), "CREATE TABLE things ()").await;
    standby.catch_up_with(&primary).unwrap();

    primary.kill().unwrap();
    standby.promote().unwrap();

    execute(standby.url(), "INSERT INTO things DEFAULT VALUES").await;
    assert!(standby.promote().is_err(), "it is a primary already");
}

#[tokio::test]
async fn a_standby_that_stopped_following_lacks_the_last_commits() {
    let primary = OwnServer::start().unwrap();
    let standby = primary.standby().unwrap();
    execute(primary.url(), "CREATE TABLE arrived ()").await;
    standby.catch_up_with(&primary).unwrap();

    standby.stop_following().unwrap();
    execute(primary.url(), "CREATE TABLE lost ()").await;
    primary.kill().unwrap();
    standby.promote().unwrap();

    assert!(has_table(standby.url(), "arrived").await);
    assert!(!has_table(standby.url(), "lost").await);
}

#[tokio::test]
async fn a_standby_gets_what_it_missed() {
    let primary = OwnServer::start().unwrap();
    let standby = primary.standby().unwrap();

    standby.stop_following().unwrap();
    execute(primary.url(), "CREATE TABLE things ()").await;
    tokio::time::sleep(A_WHILE).await;
    assert!(!has_table(standby.url(), "things").await);
    standby.follow_again().unwrap();
    standby.catch_up_with(&primary).unwrap();
    assert!(has_table(standby.url(), "things").await);

    standby.kill().unwrap();
    execute(primary.url(), "CREATE TABLE more ()").await;
    primary.kill().unwrap();
    standby.start_again().unwrap();
    primary.start_again().unwrap();
    standby.catch_up_with(&primary).unwrap();
    assert!(has_table(standby.url(), "more").await);
}

#[test]
fn a_dropped_server_leaves_nothing_behind() {
    for end in [
        (|server: &OwnServer| server.pause().unwrap()) as fn(&OwnServer),
        |server| server.kill().unwrap(),
        |_| (),
    ] {
        let server = OwnServer::start().unwrap();
        let folder = server.folder().to_owned();
        assert!(processes_of(&folder).len() >= 2, "a server and its watchdog");

        end(&server);
        let begun = Instant::now();
        drop(server);

        assert!(begun.elapsed() < Duration::from_secs(2), "it is not waited for");
        wait_until("all is gone", || is_gone(&folder));
    }
}

#[test]
fn a_killed_process_leaves_none_of_its_own_servers_behind() {
    for state in ["running", "paused", "killed"] {
        let mut user = Process::spawn(&mut child::command("use two servers of its own", state));
        let said = user.listen();
        let folders: Vec<&Path> = said.split(' ').map(Path::new).collect();
        assert!(folders.iter().all(|folder| folder.exists()), "{said}");

        user.kill();

        wait_until("all is gone", || folders.iter().all(|folder| is_gone(folder)));
    }
}

#[test]
fn a_process_that_is_killed_while_it_starts_them_leaves_none_behind() {
    // First the data of a server, then the server, then a copy of the data, then the standby.
    for moment_ms in [100, 600, 1100, 1600, 2100] {
        let user = Process::spawn(&mut child::command("use two servers of its own", "running"));
        let name = format!("-own-{}-", user.id());
        thread::sleep(Duration::from_millis(moment_ms));

        user.kill();

        wait_until("all is gone", || {
            let mut folders = fs::read_dir("/tmp").unwrap().map(|entry| entry.unwrap());
            !folders.any(|entry| entry.file_name().to_string_lossy().contains(&name))
                && !titles().any(|title| title.contains(&name))
        });
    }
}

#[test]
fn a_killed_server_leaves_no_shared_memory_behind() {
    let server = OwnServer::start().unwrap();
    let pid_file = fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
    let segment = pid_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap();
    let exists = || {
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        segments.lines().any(|line| line.split_whitespace().nth(1) == Some(segment))
    };
    assert!(exists());

    server.kill().unwrap();

    assert!(!exists());
}
