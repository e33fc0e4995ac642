//! What a framework costs before a program runs: how long the smallest user of it is compiled, at first and after a change, on how
//! many packages it stands, and how much code its macros make of an event. Beside the peers, each by the same program.
//!
//! `--only factum,esrs` names some of them. Packages are fetched before the clock starts.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

/// How often the program is changed.
const CHANGES: usize = 5;
/// With how many events more its expansion is looked at.
const MORE_EVENTS: usize = 10;

/// What is beside the framework in each program.
const BESIDE: &str = r#"
serde = { version = "1", features = ["derive"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
uuid = { version = "1", features = ["v4", "serde"] }
"#;
const SQLX_8: &str = r#"sqlx = { version = "0.8.6", features = ["runtime-tokio", "postgres"] }"#;
const SQLX_9: &str =
    r#"sqlx = { version = "0.9.0", default-features = false, features = ["runtime-tokio", "postgres"] }"#;

/// A program, and what it depends on.
struct User {
    framework: &'static str,
    store: &'static str,
    dependencies: String,
    source: &'static str,
}

fn users() -> Vec<User> {
    let factum = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let factum = |store: &str| {
        format!(
            "factum = {{ path = \"{}\", default-features = false, features = [\"{store}\"] }}",
            factum.display()
        )
    };
    let user = |framework, store, source, dependencies| User { framework, store, dependencies, source };
    let both = |framework, source, [memory, postgres]: [String; 2]| {
        [user(framework, "memory", source, memory), user(framework, "postgres", source, postgres)]
    };
    let mut users = Vec::new();
    users.extend(both("factum", include_str!("compile/factum.rs"), ["memory", "postgres"].map(factum)));
    users.extend(both(
        "cqrs-es",
        include_str!("compile/cqrs_es.rs"),
        [r#"cqrs-es = "0.5.0""#.to_owned(), "cqrs-es = \"0.5.0\"\npostgres-es = \"0.5.0\"".to_owned()],
    ));
    users.extend(both(
        "eventcore",
        include_str!("compile/eventcore.rs"),
        [
            "eventcore = \"2.1.0\"\neventcore-memory = \"2.1.0\"".to_owned(),
            r#"eventcore = { version = "2.1.0", features = ["postgres"] }"#.to_owned(),
        ],
    ));
    users.extend(both(
        "sourcery",
        include_str!("compile/sourcery.rs"),
        [
            r#"sourcery = "0.2.0""#.to_owned(),
            format!("sourcery = {{ version = \"0.2.0\", features = [\"postgres\"] }}\n{SQLX_8}"),
        ],
    ));
    users.push(user(
        "esrs",
        "postgres",
        include_str!("compile/esrs.rs"),
        format!("esrs = {{ version = \"0.18.0\", features = [\"postgres\"] }}\n{SQLX_8}"),
    ));
    users.push(user(
        "evento",
        "postgres",
        include_str!("compile/evento.rs"),
        format!(
            "evento = {{ version = \"=2.0.0-alpha.38\", features = [\"postgres\"] }}\n\
             anyhow = \"1\"\nbitcode = \"0.6\"\n{SQLX_9}"
        ),
    ));
    users.push(user(
        "disintegrate",
        "postgres",
        include_str!("compile/disintegrate.rs"),
        format!(
            "disintegrate = {{ version = \"4.0.0\", features = [\"macros\", \"serde-json\"] }}\n\
             disintegrate-postgres = \"4.0.1\"\n{SQLX_8}"
        ),
    ));
    users
}

/// What a framework costs before a program runs.
#[derive(Parser, Debug)]
struct Options {
    /// The frameworks to compile, of all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What cargo says to a bench; without, one program is compiled, which tests this one.
    #[arg(long)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    println!(
        "| | packages | first build, s | after a change, s | expansion of an event, bytes | of the program |\n\
         |---|---|---|---|---|---|"
    );
    let most = if options.bench { usize::MAX } else { 1 };
    for user in users().into_iter().take(most) {
        if options.only.is_empty() || options.only.iter().any(|only| only == user.framework) {
            measure(&user)?;
        }
    }
    Ok(())
}

fn measure(user: &User) -> Result<(), Box<dyn Error>> {
    let package = Package::new(user)?;
    package.write(1, 0)?;
    package.cargo(&["fetch"])?;
    let packages = package.packages()?;
    let first = package.build()?;
    let mut changes = Vec::new();
    for change in 1..=CHANGES {
        package.write(1, change)?;
        changes.push(package.build()?);
    }
    changes.sort();
    let [one, many] = [1, 1 + MORE_EVENTS].map(|events| -> Result<usize, Box<dyn Error>> {
        package.write(events, 0)?;
        package.expanded()
    });
    let (one, many) = (one?, many?);
    println!(
        "| {}, {} | {packages} | {:.1} | {:.2} | {} | {one} |",
        user.framework,
        user.store,
        first.as_secs_f64(),
        changes[CHANGES / 2].as_secs_f64(),
        many.saturating_sub(one) / MORE_EVENTS,
    );
    Ok(())
}

/// The program as a package of its own, with an empty folder to build into.
struct Package<'a> {
    user: &'a User,
    folder: tempfile::TempDir,
}

impl<'a> Package<'a> {
    fn new(user: &'a User) -> Result<Self, Box<dyn Error>> {
        let package = Self { user, folder: tempfile::tempdir()? };
        fs::create_dir(package.path("src"))?;
        let User { store, dependencies, .. } = user;
        // A workspace of its own, wherever the folder is.
        let manifest = format!(
            "[workspace]\n[package]\nname = \"user\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [features]\ndefault = [\"{store}\"]\nmemory = []\npostgres = []\n\
             [dependencies]{BESIDE}{dependencies}\n"
        );
        fs::write(package.path("Cargo.toml"), manifest)?;
        Ok(package)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The source with so many events, after so many changes of what the aggregate does.
    fn write(&self, events: usize, changes: usize) -> Result<(), Box<dyn Error>> {
        let source = with_events(self.user.source, events);
        let changed = source.replace("balance += ", &format!("balance += {changes} + "));
        let changed = changed.replace("state.balance + ", &format!("state.balance + {changes} + "));
        fs::write(self.path("src/main.rs"), changed)?;
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("CARGO_TARGET_DIR", self.path("target")).env("SQLX_OFFLINE", "true");
        command.env_remove("RUSTFLAGS").stderr(Stdio::inherit());
        command
    }

    /// What cargo says on its standard output.
    fn cargo(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        self.output(&mut self.command(arguments))
    }

    fn output(&self, command: &mut Command) -> Result<String, Box<dyn Error>> {
        let output = command.stdout(Stdio::piped()).output()?;
        if !output.status.success() {
            let User { framework, store, .. } = self.user;
            return Err(format!("{framework}, {store}: {command:?}: {}", output.status).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn build(&self) -> Result<Duration, Box<dyn Error>> {
        let begin = Instant::now();
        self.cargo(&["build", "--quiet", "--offline"])?;
        Ok(begin.elapsed())
    }

    /// How many packages it stands on, of which each is counted once in each version.
    fn packages(&self) -> Result<usize, Box<dyn Error>> {
        let tree = self.cargo(&[
            "tree",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])?;
        let packages: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        Ok(packages.len().saturating_sub(1))
    }

    /// The bytes of the program when all macros are expanded, without what is only white.
    fn expanded(&self) -> Result<usize, Box<dyn Error>> {
        let mut command = self.command(&["rustc", "--quiet", "--offline", "--", "-Zunpretty=expanded"]);
        // What rustc says there is for people to read, and it may say it in any version.
        let expanded = self.output(command.env("RUSTC_BOOTSTRAP", "1"))?;
        Ok(expanded.bytes().filter(|byte| !byte.is_ascii_whitespace()).count())
    }
}

/// The source, in which what is said for each event is said so often, under another name each time.
fn with_events(source: &str, events: usize) -> String {
    let mut lines = source.lines();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        if line.trim() != "// for each event {" {
            text.extend([line, "\n"]);
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "// }").collect();
        let block = block.join("\n");
        text.extend([&block, "\n"]);
        for number in 1..events {
            let named = block.replace("Deposited", &format!("Deposited{number}"));
            text.push_str(&named.replace("deposited", &format!("deposited{number}")));
            text.push('\n');
        }
    }
    text
}
