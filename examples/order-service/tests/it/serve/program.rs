//! The program itself, as a child process that serves.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::client::Client;

/// The program, while it serves. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    pub(crate) client: Client,
}

impl Program {
    /// Serves `store`, and writes mails into `mails`.
    pub(crate) fn serve(store: &str, mails: &Path, payment_within: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_order-service"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store, "--payment-within", payment_within])
            .arg("--mails")
            .arg(mails)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints text");
        let base = line.trim().strip_prefix("listening on ").expect("it says where it listens");
        Self { client: Client::new(base), child }
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it was started");
    }

    /// Tells it to stop, as service managers do.
    pub(crate) fn terminate(&self) {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(killed.expect("there is a kill").success());
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it was started")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        if let Err(error) = self.child.kill() {
            let _ = writeln!(std::io::stderr(), "{error}");
        }
        let _ = self.child.wait();
    }
}
