//! Each store is broken for some seconds, and keeps its laws; and what was recorded then would have told if it had not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Long enough for every fault to come at least once.
const MINUTES: &str = "0.34";
/// Half of what is usual: what is written is read some dozens of times.
const RATE: &str = "300";
/// How often the server is killed, and how often its clients, at least.
const KILLS: &str = "3";

#[test]
fn a_postgres_that_is_broken_keeps_its_laws() {
    let run = Run::of("postgres");

    run.assert_nothing_went_missing_unseen();
}

#[test]
fn a_sqlite_file_whose_users_are_killed_keeps_its_laws() {
    let run = Run::of("sqlite");

    run.assert_nothing_went_missing_unseen();
}

/// A run that was kept.
struct Run {
    store: &'static str,
    folder: TempDir,
}

impl Run {
    fn of(store: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_factum-soak"))
            .args(["--minutes", MINUTES, "--kills", KILLS, "--rate", RATE, "--store", store, "--seed", "1"])
            .arg("--folder")
            .arg(folder.path())
            .output()
            .unwrap();
        let said = said(&output);
        println!("{said}");
        let is_held = output.status.code() == Some(0) && said.contains(&format!("held: {store}, seed 1"));
        // Kept for whoever wants to understand it.
        assert!(is_held, "{}: {said}", folder.keep().display());
        Self { store, folder }
    }

    /// Tampers with what was recorded, in each of the ways in which a store could break a law, and asks again.
    fn assert_nothing_went_missing_unseen(&self) {
        let untouched = self.judge();
        assert_eq!(untouched.status.code(), Some(0), "{}", said(&untouched));
        self.assert_no_kill_can_be_missing();

        for follower in ["everything", "category", "streams", "name"] {
            let notes = format!("subscriber-{follower}.");
            self.assert_told(&notes, "sees an event too few", |lines| {
                // What it has not moved its checkpoint over, it may not have seen.
                let moving = lines.iter().rposition(|line| line.starts_with("moving\t"))?;
                let at = nth(&lines[..moving], "saw\t", 1)?;
                lines.remove(at);
                Some(())
            });
            self.assert_told(&notes, "sees an event twice", |lines| {
                let at = nth(lines, "saw\t", 1)?;
                lines.insert(at, lines[at].clone());
                Some(())
            });
            self.assert_told(&notes, "sees two events the other way round", |lines| {
                let at = (1..lines.len())
                    .find(|&at| lines[at - 1..=at].iter().all(|line| line.starts_with("saw\t")))?;
                lines.swap(at - 1, at);
                Some(())
            });
            self.assert_told(&notes, "sees what nobody wrote", |lines| {
                let at = nth(lines, "saw\t", 0)?;
                lines[at] = lines[at].replace("\twhole", "\tchanged");
                Some(())
            });
            self.assert_told(&notes, "goes on from elsewhere", |lines| {
                let at = nth(lines, "resumed\t", 0)?;
                "resumed\t1000000000".clone_into(&mut lines[at]);
                Some(())
            });
        }
        self.assert_rows_are_checked();
        self.assert_answers_are_checked();
        self.assert_the_store_is_checked();
    }

    fn assert_rows_are_checked(&self) {
        self.assert_told("projection.", "has a row twice", |lines| {
            let at = nth(lines, "row\t", 1)?;
            lines.insert(at, lines[at].clone());
            Some(())
        });
        self.assert_told("projection.", "has a row too few", |lines| {
            let at = nth(lines, "row\t", 1)?;
            lines.remove(at);
            Some(())
        });
        self.assert_told("projection.", "has a wrong total", |lines| {
            let at = nth(lines, "total\t", 0)?;
            lines[at].push('0');
            Some(())
        });
        self.assert_told("marks.", "has a row without its event", |lines| {
            lines.push("mark\t01990000-0000-7000-8000-000000000000".to_owned());
            Some(())
        });
        self.assert_told("worker-", "committed an append with a row that is not there", |lines| {
            nth(lines, "back\t", 0)?;
            lines.push("mark\t01990000-0000-7000-8000-000000000000".to_owned());
            Some(())
        });
    }

    fn assert_answers_are_checked(&self) {
        self.assert_told("worker-", "is acknowledged twice", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tappended\t"))?;
            lines.insert(at, lines[at].clone());
            Some(())
        });
        self.assert_told("worker-", "is acknowledged at other versions", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tappended\t"))?;
            lines[at].push('0');
            Some(())
        });
        self.assert_told("worker-", "reads an event too few", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tsaw\t") && lines[at].contains(','))?;
            let first = lines[at].split('\t').next_back()?.split(',').next()?.to_owned();
            lines[at] = lines[at].replace(&format!("{first},"), "");
            Some(())
        });
        self.assert_told("worker-", "wrote what it was refused", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tappended\t") && is_only(lines, at))?;
            let told = lines[at].split("\tappended\t").next()?.to_owned();
            lines[at] = format!("{told}\trefused");
            Some(())
        });
        self.assert_told("worker-", "changed a stream, and nothing says so", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tdone\t"))?;
            lines[at].push('0');
            Some(())
        });
        self.assert_told("worker-", "truncated a stream that was not", |lines| {
            let cut = lines.iter().find(|line| line.starts_with("told\t") && line.ends_with("\tcut"))?;
            let asked = format!("asked\t{}\t", cut.split('\t').nth(1)?);
            let at = nth(lines, &asked, 0)?;
            lines[at].push_str("000");
            // To cut off nothing, before version 0, is nothing.
            (!lines[at].ends_with("\t0000")).then_some(())
        });
        self.assert_told("keeper-", "is acknowledged at other versions", |lines| {
            let at = (0..lines.len()).find(|&at| lines[at].contains("\tappended\t"))?;
            lines[at].push('0');
            Some(())
        });
    }

    fn assert_the_store_is_checked(&self) {
        self.assert_told("records.", "lost what it has of an event", |lines| {
            let at = nth(lines, "erased\t", 0)?;
            lines.remove(at);
            Some(())
        });
        self.assert_told("records.", "has an event of an archived stream in use", |lines| {
            let at = nth(lines, "archived\t", 0)?;
            lines[at] = lines[at].replacen("archived", "saw", 1);
            Some(())
        });
        self.assert_told("records.", "has erased what nobody wanted to be erased", |lines| {
            let at = nth(lines, "saw\t", 0)?;
            let place: Vec<_> = lines[at].split('\t').skip(1).take(4).collect();
            lines[at] = format!("erased\t{}", place.join("\t"));
            Some(())
        });
        self.assert_told("copy.", "lost a line", |lines| {
            lines.remove(lines.len() / 2);
            Some(())
        });
        self.assert_told("copy.", "has another time in a line", |lines| {
            let at = lines.len() / 2;
            lines[at] = lines[at].replacen("\"recorded_at\":\"2", "\"recorded_at\":\"3", 1);
            Some(())
        });
        self.assert_told("log.", "lost an event", |lines| {
            lines.remove(lines.len() / 2);
            Some(())
        });
        self.assert_told("log.", "has an event twice", |lines| {
            let at = lines.len() / 2;
            lines.insert(at, lines[at].clone());
            Some(())
        });
        self.assert_told("log.", "has two events the other way round", |lines| {
            let at = lines.len() / 2;
            lines.swap(at - 1, at);
            Some(())
        });
    }

    /// A run with fewer kills than were asked for says nothing of its store, and so does one in which nobody looked.
    fn assert_no_kill_can_be_missing(&self) {
        let kills: &[&str] = match self.store {
            "postgres" => &["\tserver killed\t"],
            _ => &["\tworker killed\t", "\tsubscriber killed\t"],
        };
        let is_kill = |line: &str| kills.iter().any(|kill| line.contains(kill));
        self.assert_too_little("was killed twice", &mut |lines| {
            let all = lines.iter().filter(|line| is_kill(line)).count();
            let mut left = 0;
            lines.retain(|line| {
                left += usize::from(is_kill(line));
                !is_kill(line) || left <= 2
            });
            all >= 3 && left == all
        });
        self.assert_too_little("was not looked at after a kill", &mut |lines| {
            let at = nth(lines, "looked\t", 0);
            at.is_some_and(|at| !lines.remove(at).is_empty())
        });
    }

    fn assert_too_little(&self, how: &str, change: &mut dyn FnMut(&mut Vec<String>) -> bool) {
        let path = self.files().join("faults.notes");
        let before = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<_> = before.lines().map(str::to_owned).collect();
        assert!(change(&mut lines), "no run that {how} can be made of {before}");
        fs::write(&path, lines.join("\n") + "\n").unwrap();

        let output = self.judge();

        fs::write(&path, before).unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "the store {how}, and nobody tells: {said}");
        assert!(said.contains("too little: ") && !said.contains("held: "), "{said}");
    }

    /// Changes the first file whose name begins so and in which `change` finds what it wants; then the verdict is red.
    fn assert_told(&self, begin: &str, how: &str, change: impl Fn(&mut Vec<String>) -> Option<()>) {
        let kinds = ["history", "notes", "ndjson"];
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(begin) && kinds.iter().any(|kind| name.ends_with(kind))
        };
        let mut files: Vec<_> =
            fs::read_dir(self.files()).unwrap().map(|entry| entry.unwrap().path()).filter(is_one).collect();
        files.sort();
        let (path, before, after) = files
            .into_iter()
            .find_map(|path| {
                let before = fs::read_to_string(&path).unwrap();
                let mut lines: Vec<_> = before.lines().map(str::to_owned).collect();
                change(&mut lines)?;
                Some((path, before, lines.join("\n") + "\n"))
            })
            .unwrap_or_else(|| panic!("no {begin} {how}"));
        fs::write(&path, after).unwrap();

        let output = self.judge();

        fs::write(&path, before).unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{} {how}, and nobody tells: {said}", path.display());
        assert!(said.contains("broken: "), "{said}");
    }

    fn judge(&self) -> Output {
        let judge = &mut Command::new(env!("CARGO_BIN_EXE_factum-soak"));
        judge.arg("check").arg(self.files()).args(["--store", self.store]).output().unwrap()
    }

    fn files(&self) -> PathBuf {
        Path::join(self.folder.path(), self.store)
    }
}

/// The line that begins so after as many that do.
fn nth(lines: &[String], begin: &str, before: usize) -> Option<usize> {
    (0..lines.len()).filter(|&at| lines[at].starts_with(begin)).nth(before)
}

/// Whether nobody else has sent the append that is answered there.
fn is_only(lines: &[String], answer: usize) -> bool {
    let operation: Vec<_> = lines[answer].split('\t').skip(1).take(2).collect();
    let began = format!("began\t{}\t", operation.join("\t"));
    let ids =
        lines.iter().find(|line| line.starts_with(&began)).and_then(|line| line.split('\t').next_back());
    let is_sent = |line: &&String| line.starts_with("began\t") && ids.is_some_and(|ids| line.ends_with(ids));
    lines.iter().filter(is_sent).count() == 1
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
