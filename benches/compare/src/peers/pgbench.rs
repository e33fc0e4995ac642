//! The limit, by pgbench: the same `INSERT`, by the client that comes with Postgres and brings callers of its own.
//!
//! Each caller has a connection, makes nothing anew but the account, which the server draws, and does nothing with the answer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use async_trait::async_trait;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::raw_sqlx::{NAME, TABLE, payload};
use crate::contender::{Answer, Contender, Deposit};
use crate::rounds::Turn;

/// The least SQL, by pgbench.
pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    /// With its script and what it writes; deleted when this is dropped.
    folder: PathBuf,
}

impl Pgbench {
    /// Makes the table.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let program = find();
        Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| format!("{} (Debian: postgresql-15): {error}", program.display()))?;
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(TABLE).await?;
        let folder = env::temp_dir().join(format!("factum-compare-{}", Uuid::new_v4()));
        fs::create_dir(&folder)?;
        let pgbench = Self { program, url: url.to_owned(), folder };
        let hex = payload(&Deposit::new())?.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let insert = format!(
            "INSERT INTO events (account, version, name, payload) VALUES (gen_random_uuid(), 1, '{NAME}', '\\x{hex}');\n"
        );
        fs::write(pgbench.script(), insert)?;
        Ok(pgbench)
    }

    fn script(&self) -> PathBuf {
        self.folder.join("create.sql")
    }
}

impl Drop for Pgbench {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} is left behind: {error}", self.folder.display());
        }
    }
}

#[async_trait]
impl Contender for Pgbench {
    fn table(&self) -> Option<&'static str> {
        Some("events")
    }

    fn brings_callers(&self) -> bool {
        true
    }

    async fn create_at_once(&self, callers: u32, time: Duration) -> Answer<Turn> {
        // It counts whole seconds.
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let log = self.folder.join("log");
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared", "--log"])
            .arg(format!("--client={callers}"))
            .arg(format!("--jobs={}", callers.min(2)))
            .arg(format!("--time={seconds}"))
            .arg(format!("--log-prefix={}", log.display()))
            .arg(format!("--file={}", self.script().display()))
            .arg(&self.url);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let said = String::from_utf8(output.stdout)?;
        let value = said
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            .ok_or_else(|| format!("it says no rate: {said}"))?;
        Ok(Turn { value: Some(value), latencies: latencies(&self.folder)?, ..Turn::default() })
    }

    async fn create(&self, _: Uuid, _: Vec<Deposit>) -> Answer<()> {
        Err(NO_CALLER.into())
    }

    async fn deposit(&self, _: Uuid, _: Vec<Deposit>) -> Answer<()> {
        Err(NO_CALLER.into())
    }

    async fn rehydrate(&self, _: Uuid) -> Answer<u64> {
        Err(NO_CALLER.into())
    }
}

const NO_CALLER: &str = "it brings callers of its own, and can only create";

/// That of the server's version, if `FACTUM_PG_BINDIR` says where that is; else the newest where Debian puts it, or what is on
/// the path.
fn find() -> PathBuf {
    if let Some(folder) = env::var_os("FACTUM_PG_BINDIR") {
        return Path::new(&folder).join("pgbench");
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin/pgbench")).filter(|path| path.is_file());
    programs.max().unwrap_or_else(|| "pgbench".into())
}

/// What each time took, of the logs in the folder, which are deleted.
fn latencies(folder: &Path) -> Answer<Vec<Duration>> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            // client, number, time in µs, …
            let time = line.split(' ').nth(2).and_then(|time| time.parse().ok());
            latencies.push(Duration::from_micros(time.ok_or_else(|| format!("it logs no time: {line}"))?));
        }
        fs::remove_file(path)?;
    }
    Ok(latencies)
}
