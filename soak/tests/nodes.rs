//! Nodes are killed a hundred times on each store, and count each event once; and where they do not, it is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

/// How often nodes are killed that are at work.
const KILLS: &str = "100";
/// As few as show that what is counted twice is found.
const KILLS_OF_CONTROL: &str = "20";

#[test]
fn nodes_that_are_killed_count_each_event_once_on_postgres() {
    assert_held("postgres");
}

#[test]
fn nodes_that_are_killed_count_each_event_once_on_sqlite() {
    assert_held("sqlite");
}

/// The same nodes under the same kills, but the rows and the checkpoint are committed one after the other.
#[test]
fn nodes_that_count_at_least_once_are_found_out() {
    // What was found wrong is kept, unless it is told where.
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let control = ["--store", "sqlite", "--kills", KILLS_OF_CONTROL, "--at-least-once", "--folder", folder];
    let (output, said) = run(&control);

    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("broken: sqlite") && said.contains("was counted, and"), "{said}");
}

fn assert_held(store: &str) {
    let (output, said) = run(&["--store", store, "--kills", KILLS]);

    println!("{said}");
    let is_held = output.status.code() == Some(0) && said.contains(&format!("held: {store}, seed 1"));
    assert!(is_held, "{said}");
}

fn run(arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum-soak"));
    let output = command.args(["nodes", "--seed", "1"]).args(arguments).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}
