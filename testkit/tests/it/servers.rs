//! Servers: shared by processes, gone after the last one, back after a crash.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use factum_testkit::{Error, Options, Postgres};
use sqlx::{Connection as _, PgConnection};

use crate::{
    child::{self, Process},
    databases::{execute, one},
};

/// A server that no other test uses, and that does not wait for more users.
pub(crate) fn options(name: &str) -> Options {
    Options { name: name.to_owned(), idle: Duration::from_secs(1), ..Options::default() }
}

fn own(test: &str) -> Options {
    options(&format!("{test}-{}", process::id()))
}

/// Tells one start of one server from all others.
pub(crate) async fn identity(postgres: &Postgres) -> String {
    let database = postgres.database().await.unwrap();
    one(database.url(), "SELECT pg_postmaster_start_time()::text || ' on port ' || current_setting('port')")
        .await
}

/// The processes that run with `folder` in their command line: a server and its watchdog.
///
/// Without their children: a shell that begins a command is there twice until its copy has become that command.
pub(crate) fn processes_of(folder: &Path) -> Vec<u32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found: Vec<u32> = pids.filter(|pid| names(*pid, folder)).collect();
    let begun_by_others = |pid: &u32| parent_of(*pid).is_some_and(|parent| !found.contains(&parent));
    found.iter().copied().filter(begun_by_others).collect()
}

fn names(pid: u32, folder: &Path) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).split('\0').any(|argument| Path::new(argument).starts_with(folder))
}

/// `None` if the process has ended.
fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn signal(signal: &str, pid: u32) {
    let status =
        Command::new("sh").args(["-c", "kill -\"$1\" \"$2\"", "sh", signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

fn end_server(pid: u32) {
    // Not KILL: it would leave a segment of shared memory behind, and a machine has only so many.
    signal("QUIT", pid);
}

fn server_of(folder: &Path) -> u32 {
    let pid_file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    pid_file.lines().next().unwrap().parse().unwrap()
}

/// Ends the server, perhaps with its watchdog, and leaves the files of a crash: they give the number of the dead server,
/// which another process has by now. Returns that process.
fn crash(options: &Options, of_the_whole_machine: bool) -> Process {
    let folder = options.folder().unwrap();
    let pid_file = folder.join("data/postmaster.pid");
    let left = fs::read_to_string(&pid_file).unwrap();
    let server = server_of(&folder);
    if of_the_whole_machine {
        let others = processes_of(&folder).into_iter().filter(|pid| *pid != server);
        others.for_each(|pid| signal("KILL", pid));
    }
    end_server(server);
    wait_until("it has ended", || {
        let processes = processes_of(&folder);
        if of_the_whole_machine { processes.is_empty() } else { !processes.contains(&server) }
    });

    let stranger = Process::spawn(Command::new("sleep").arg("60"));
    let (_, rest) = left.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", stranger.id())).unwrap();
    stranger
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn the_shared_server_needs_no_configuration() {
    let postgres = Postgres::shared().unwrap();
    let database = postgres.database().await.unwrap();

    assert_eq!(one(database.url(), "SELECT current_database()::text").await, database.name());
}

#[tokio::test]
async fn a_fast_server_and_a_durable_one_are_two() {
    let options = own("kinds");

    for (durable, fsync) in [(false, "off"), (true, "on")] {
        let postgres = Postgres::start(&Options { durable, ..options.clone() }).unwrap();
        let database = postgres.database().await.unwrap();
        assert_eq!(one(database.url(), "SHOW fsync").await, fsync);
    }
}

#[tokio::test]
async fn a_commit_on_the_durable_server_is_on_the_disk() {
    let database = Postgres::durable().unwrap().database().await.unwrap();

    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(one(database.url(), &format!("SHOW {setting}")).await, "on", "{setting}");
    }
}

#[test]
fn processes_that_start_at_once_share_one_server() {
    let options = own("at-once");
    let mut processes: Vec<Process> =
        (0..6).map(|_| Process::spawn(&mut child::command("use a server", &options.name))).collect();

    let mut servers: Vec<String> = processes.iter_mut().map(Process::listen).collect();

    servers.dedup();
    assert_eq!(servers.len(), 1, "{servers:?}");
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let options = own("killed");
    let mut user = Process::spawn(&mut child::command("use a server", &options.name));
    user.listen();
    let folder = options.folder().unwrap();
    assert_eq!(processes_of(&folder).len(), 2, "a server and its watchdog");

    // A user that does nothing for long is a user all the same.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(processes_of(&folder).len(), 2, "a server and its watchdog");

    user.kill();

    wait_until("the folder is gone", || !folder.exists());
    wait_until("it is deleted", || !folder.with_added_extension("gone").exists());
    wait_until("all have ended", || processes_of(&folder).is_empty());
}

#[test]
fn the_server_lives_as_long_as_its_last_user() {
    let options = own("last-user");
    let mut first = Process::spawn(&mut child::command("use a server", &options.name));
    let server = first.listen();
    let mut last = Process::spawn(&mut child::command("use a server", &options.name));
    last.listen();

    first.kill();
    thread::sleep(Duration::from_secs(4));

    let mut another = Process::spawn(&mut child::command("use a server", &options.name));
    assert_eq!(another.listen(), server);
}

#[test]
fn a_kill_at_any_moment_of_the_start_does_no_harm() {
    let options = own("any-moment");
    // A start takes about two seconds: first the data, then the server.
    for moment_ms in [100, 700, 1300, 1700] {
        let user = Process::spawn(&mut child::command("use a server", &options.name));
        thread::sleep(Duration::from_millis(moment_ms));
        user.kill();

        let mut next = Process::spawn(&mut child::command("use a server", &options.name));
        next.listen();

        // The next round starts from nothing again.
        let server = server_of(&options.folder().unwrap());
        end_server(server);
        wait_until("the server has ended", || !processes_of(&options.folder().unwrap()).contains(&server));
    }
}

#[tokio::test]
async fn waits_for_a_server_that_another_process_has_begun_to_start() {
    let options = own("begun");
    let before = identity(&Postgres::start(&options).unwrap()).await;
    let pid_file = options.folder().unwrap().join("data/postmaster.pid");
    let ready = fs::read_to_string(&pid_file).unwrap();
    // In place, as Postgres does it: nobody sees half a file.
    let overwrite =
        |text: &str| File::options().write(true).open(&pid_file).unwrap().write_all(text.as_bytes()).unwrap();
    overwrite(&ready.replace("ready   ", "starting"));
    let begun = Instant::now();

    let postgres = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            overwrite(&ready);
        });
        Postgres::start(&options).unwrap()
    });

    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(identity(&postgres).await, before);
}

#[tokio::test]
async fn comes_back_after_a_crash_of_the_machine() {
    let options = own("crash");
    let mut user = Process::spawn(&mut child::command("use a server", &options.name));
    let before = user.listen();

    let mut stranger = crash(&options, true);
    user.kill();
    let postgres = Postgres::start(&options).unwrap();

    assert_ne!(identity(&postgres).await, before);
    let watchdog = File::open(options.folder().unwrap().join("watchdog.lock")).unwrap();
    assert!(watchdog.try_lock().is_err(), "there is a watchdog again");
    assert!(stranger.is_alive());
}

#[test]
fn the_watchdog_spares_a_process_with_the_number_of_a_dead_server() {
    let options = own("spares");
    let mut user = Process::spawn(&mut child::command("use a server", &options.name));
    user.listen();

    let mut stranger = crash(&options, false);
    user.kill();

    wait_until("the folder is gone", || !options.folder().unwrap().exists());
    assert!(stranger.is_alive());
}

#[tokio::test]
async fn replaces_a_server_that_died_in_use() {
    let options = own("died");
    let before = identity(&Postgres::start(&options).unwrap()).await;

    let _stranger = crash(&options, false);

    assert_ne!(identity(&Postgres::start(&options).unwrap()).await, before);
}

#[test]
fn who_comes_at_the_last_moment_keeps_the_server() {
    let options = own("last-moment");
    let mut user = Process::spawn(&mut child::command("use a server", &options.name));
    let server = user.listen();
    let folder = options.folder().unwrap();
    // The watchdog finds nobody, and then has to wait for its turn, while we come.
    let start = File::open(folder.join("start.lock")).unwrap();
    start.lock().unwrap();
    user.kill();
    thread::sleep(Duration::from_secs(4));
    let users = File::open(folder.join("users.lock")).unwrap();
    users.lock_shared().unwrap();
    drop(start);

    thread::sleep(Duration::from_secs(1));

    let mut another = Process::spawn(&mut child::command("use a server", &options.name));
    assert_eq!(another.listen(), server);
}

#[tokio::test]
async fn who_comes_while_the_folder_is_deleted_gets_a_new_one() {
    let options = own("deleted");
    let folder = options.folder().unwrap();
    // The last steps of a watchdog, while somebody waits for it.
    fs::create_dir(&folder).unwrap();
    let start = File::create(folder.join("start.lock")).unwrap();
    start.lock().unwrap();
    let waiting = thread::spawn(move || Postgres::start(&options));
    thread::sleep(Duration::from_millis(500));
    fs::remove_dir_all(&folder).unwrap();
    drop(start);

    let postgres = waiting.join().unwrap().unwrap();

    identity(&postgres).await;
    assert!(folder.exists());
}

#[test]
fn a_watchdog_leaves_the_server_of_a_newer_folder_alone() {
    let options = own("newer");
    let mut first = Process::spawn(&mut child::command("use a server", &options.name));
    first.listen();
    let folder = options.folder().unwrap();
    let server = server_of(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let mut second = Process::spawn(&mut child::command("use a server", &options.name));
    let newer = second.listen();

    first.kill();
    end_server(server);
    thread::sleep(Duration::from_secs(4));

    let mut third = Process::spawn(&mut child::command("use a server", &options.name));
    assert_eq!(third.listen(), newer);
}

#[test]
fn refuses_a_folder_that_somebody_else_may_have_made() {
    let options = own("foreign");
    let folder = options.folder().unwrap();
    // Of the right owner even, but a link can be turned elsewhere later.
    let elsewhere = folder.with_added_extension("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &folder).unwrap();

    let refused = Postgres::start(&options).unwrap_err();

    fs::remove_file(&folder).unwrap();
    fs::remove_dir(&elsewhere).unwrap();
    assert!(matches!(refused, Error::Foreign { path, .. } if path == folder));
}

#[test]
fn only_its_user_can_read_the_password() {
    let options = own("secret");
    Postgres::start(&options).unwrap();
    let folder = options.folder().unwrap();

    for (file, open_to_others) in [("password", 0o077), ("data", 0o077), ("", 0o066)] {
        let mode = fs::metadata(folder.join(file)).unwrap().mode();
        assert_eq!(mode & open_to_others, 0, "{file} has mode {mode:o}");
    }
}

#[tokio::test]
async fn asks_for_the_password() {
    let postgres = Postgres::start(&own("password")).unwrap();
    let database = postgres.database().await.unwrap();
    let (_, port_and_name) = database.url().rsplit_once(':').unwrap();

    let guess = format!("postgres://postgres:guess@127.0.0.1:{port_and_name}");
    let refused = PgConnection::connect(&guess).await.unwrap_err();

    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"));
}

#[test]
fn a_missing_server_is_an_error_that_says_what_to_do() {
    let mut process =
        Process::spawn(child::command("use the shared server", "").env("FACTUM_PG_BINDIR", "/nonexistent"));

    let said = process.listen();

    for hint in ["/nonexistent", "apt-get install postgresql", "FACTUM_PG_BINDIR", "./test.sh"] {
        assert!(said.contains(hint), "`{hint}` is missing in: {said}");
    }
}

#[tokio::test]
async fn an_external_server_is_used_as_it_is() {
    let postgres = Postgres::start(&own("external")).unwrap();
    let external = postgres.database().await.unwrap();
    execute(external.url(), "CREATE TABLE kept ()").await;

    let mut process = Process::spawn(
        child::command("use the shared server", "").env("FACTUM_DATABASE_URL", external.url()),
    );
    assert_eq!(process.listen(), identity(&postgres).await);
    process.wait();

    assert_eq!(one(external.url(), "SELECT count(*)::text FROM kept").await, "0");
    let databases = "SELECT count(*)::text FROM pg_database WHERE datname LIKE 'factum%'";
    assert_eq!(one(external.url(), databases).await, "1", "the other process has deleted its database");
}

#[tokio::test]
async fn refuses_an_external_server_that_is_not_durable_where_one_is_needed() {
    let external = Postgres::start(&own("not-durable")).unwrap().database().await.unwrap();

    let mut process = Process::spawn(
        child::command("make a durable database", "").env("FACTUM_DATABASE_URL", external.url()),
    );

    let said = process.listen();
    assert!(said.contains("`fsync` off"), "{said}");
}
