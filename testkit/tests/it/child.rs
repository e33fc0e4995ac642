//! This test binary once more, as another process that uses a server.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use factum_testkit::{OwnServer, PgBouncer, Postgres};

use crate::{databases, servers};

/// What the other process does: `MODE` with the argument that the mode wants.
const MODE: &str = "FACTUM_TESTKIT_CHILD_MODE";
const ARGUMENT: &str = "FACTUM_TESTKIT_CHILD_ARGUMENT";

/// Marks the line that a child says to its parent, among those that the test harness prints.
const SAYS: &str = "the child says: ";

/// Another process, which is killed when this is dropped.
pub(crate) struct Process(Child);

/// A process that has not started yet, without any configuration of this one.
pub(crate) fn command(mode: &str, argument: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child::as_another_process", "--ignored", "--nocapture"]);
    command.env_remove("FACTUM_DATABASE_URL").env(MODE, mode).env(ARGUMENT, argument);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Waits for what the process has to say.
    pub(crate) fn listen(&mut self) -> String {
        let mut lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        let said = lines.find_map(|line| Some(line.unwrap().split_once(SAYS)?.1.to_owned()));
        said.expect("a child says something before it ends")
    }

    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn say(text: &str) {
    println!("{SAYS}{text}");
}

/// Lives on until the parent is gone, or kills this.
fn stay() {
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
#[ignore = "the other tests run it, as another process"]
async fn as_another_process() {
    let Ok(mode) = env::var(MODE) else { return };
    let argument = env::var(ARGUMENT).unwrap();
    match mode.as_str() {
        "use a server" => {
            let postgres = Postgres::start(&servers::options(&argument)).unwrap();
            say(&servers::identity(&postgres).await);
            stay();
        }
        "use the shared server" => match Postgres::shared() {
            Ok(postgres) => say(&servers::identity(&postgres).await),
            Err(error) => say(&error.to_string()),
        },
        "use two servers of its own" => {
            let primary = OwnServer::start().unwrap();
            let standby = primary.standby().unwrap();
            match argument.as_str() {
                "paused" => primary.pause().and_then(|()| standby.pause()).unwrap(),
                "killed" => primary.kill().and_then(|()| standby.kill()).unwrap(),
                _ => {}
            }
            say(&format!("{} {}", primary.folder().display(), standby.folder().display()));
            stay();
        }
        "use a PgBouncer" => match PgBouncer::in_front_of(&argument) {
            Ok(bouncer) => {
                say(&bouncer.folder().display().to_string());
                stay();
            }
            Err(error) => say(&error.to_string()),
        },
        "make a durable database" => match Postgres::durable().unwrap().database().await {
            Ok(_) => say("made one"),
            Err(error) => say(&error.to_string()),
        },
        "die while it fills a template" => {
            let postgres = Postgres::start(&servers::options(&argument)).unwrap();
            let died = postgres.database_like("shared by both", async |url| {
                databases::execute(url, "CREATE TABLE half_made ()").await;
                say("half-made");
                stay();
                Ok(())
            });
            died.await.unwrap();
        }
        other => panic!("there is no mode `{other}`"),
    }
}
