//! A server that follows another one.

use std::{fs, path::Path, thread, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    Error, OwnServer,
    home::at,
    processes::{family, signal, title, wait_until},
    server::Server,
};

/// In the data folder: whom to follow, if anybody. Read by `postgresql.conf`.
const FOLLOWED: &str = "followed.conf";

impl OwnServer {
    /// Makes a standby a primary, and waits until it is one. What has not arrived by now is lost.
    ///
    /// The old primary is not told: if it lives, or is started again, there are two.
    ///
    /// # Errors
    ///
    /// If this is no standby, or cannot be promoted.
    pub fn promote(&self) -> Result<(), Error> {
        let server = self.server();
        server.run(server.pg_ctl("promote"))
    }

    /// Makes a standby receive nothing more. It goes on to answer.
    ///
    /// # Errors
    ///
    /// If its settings cannot be changed, or it goes on to receive.
    pub fn stop_following(&self) -> Result<(), Error> {
        let server = self.server();
        let path = server.data().join(FOLLOWED);
        let settings = fs::read_to_string(&path).map_err(at(&path))?;
        // As a comment, from which `follow_again` gets it back.
        fs::write(&path, format!("#{}", settings.trim_start_matches('#'))).map_err(at(&path))?;
        let Some(postmaster) = server.pid() else { return Ok(()) };
        signal("HUP", &[postmaster])?;
        wait_until("the standby stopped to receive", || {
            !family(postmaster).into_iter().any(|pid| title(pid).contains("walreceiver"))
        })
    }

    /// Makes a standby follow its primary again.
    ///
    /// # Errors
    ///
    /// If its settings cannot be changed.
    pub fn follow_again(&self) -> Result<(), Error> {
        let server = self.server();
        let path = server.data().join(FOLLOWED);
        let settings = fs::read_to_string(&path).map_err(at(&path))?;
        fs::write(&path, settings.trim_start_matches('#')).map_err(at(&path))?;
        server.pid().map_or(Ok(()), |postmaster| signal("HUP", &[postmaster]))
    }

    /// Waits until this standby shows all that `primary` has committed by now.
    ///
    /// # Errors
    ///
    /// If one of them does not answer, or the standby stays behind.
    pub fn catch_up_with(&self, primary: &OwnServer) -> Result<(), Error> {
        let written = ask(primary.url(), "SELECT pg_current_wal_lsn()::text")?;
        let shown = format!("SELECT (pg_last_wal_replay_lsn() >= '{written}')::text");
        // Asked at intervals that grow, since to connect is most of the work.
        for attempt in 0..60 {
            if ask(self.url(), &shown)? == "true" {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10 * attempt));
        }
        Err(Error::TooSlow { what: "the standby caught up" })
    }
}

impl Server<'_> {
    /// Fills the folder with a copy of the server on port `primary`, which follows it.
    pub(super) fn copy(&self, primary: u16, password: &str) -> Result<(), Error> {
        self.set_password(password)?;
        let new = self.new_folder()?;
        let mut pg_basebackup = self.account.command(&self.binaries.pg_basebackup());
        pg_basebackup.arg("--pgdata").arg(&new).env("PGPASSWORD", password);
        pg_basebackup.args(["--host=127.0.0.1", "--username=postgres", "--port", &primary.to_string()]);
        pg_basebackup.args(["--checkpoint=fast", "--no-sync"]);
        self.run(pg_basebackup)?;

        let log = new.join("server.log");
        fs::remove_file(&log).map_err(at(&log))?;
        let followed = format!(
            "primary_conninfo = 'host=127.0.0.1 port={primary} user=postgres password={password} sslmode=disable \
             application_name=standby'\n"
        );
        self.write(&new.join(FOLLOWED), &followed)?;
        self.write(&new.join("standby.signal"), "")?;
        let configuration = new.join("postgresql.conf");
        let settings = fs::read_to_string(&configuration).map_err(at(&configuration))?;
        self.write(&configuration, &format!("{settings}\ninclude = '{FOLLOWED}'\n"))?;
        let data = self.data();
        fs::rename(&new, &data).map_err(at(&new))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        fs::write(path, text).map_err(at(path))?;
        self.account.give(path)
    }
}

/// The answer to a query, on a thread of its own: this one may be in a runtime.
fn ask(url: &str, query: &str) -> Result<String, Error> {
    let asked = async {
        let mut connection = PgConnection::connect(url).await?;
        let answer = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(answer)
    };
    let answer: Result<String, sqlx::Error> = thread::scope(|scope| {
        let thread = scope
            .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asked));
        thread.join().expect("asking does not panic")
    });
    answer.map_err(|source| Error::Sql { action: "answer", source })
}
