//! An import that is killed at any moment, and started again, ends in the same report.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{first_lines, shops};

/// How many purchases are imported. In a release build the README's command shows the same with all of them.
const PURCHASES: usize = 8000;

fn command(store: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_order-service"));
    command.arg("--store").arg(store).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end and returns what was printed.
fn output(store: &str, arguments: &[&str]) -> String {
    let output = command(store, arguments).output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Kills ten imports, each a little later than the last one, and then imports to the end.
fn kill_and_go_on(store: &str, file: &Path) {
    let file = file.to_str().expect("a plain path");
    let (expected, whole) = {
        let begin = Instant::now();
        let printed = output("memory", &["import", file, "--report"]);
        let report = printed.split_once("\n\n").expect("a report follows").1.to_owned();
        (report, begin.elapsed())
    };
    let mut killed = 0;
    for round in 0..10u32 {
        let mut import = command(store, &["import", file]).spawn().expect("the program starts");
        // Not evenly spread: the moments shall not fall on the same phase of each import.
        std::thread::sleep(whole * (round * 7 % 10 + 1) / 12 + Duration::from_millis(u64::from(round)));
        import.kill().expect("it can be killed");
        killed += u32::from(!import.wait().expect("it was started").success());
    }
    assert!(killed >= 5, "only {killed} imports were killed before they ended");

    let printed = output(store, &["import", file]);
    assert!(printed.contains("8,000 purchases"), "{printed}");
    assert_eq!(output(store, &["report"]), expected);
    // What is left is not only right once: nothing is added by going on.
    assert!(output(store, &["import", file]).contains("0 of them new"));
    assert_eq!(output(store, &["report"]), expected);
}

#[test]
fn a_killed_import_goes_on_in_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("purchases.txt");
    std::fs::write(&file, first_lines(PURCHASES)).expect("the file can be written");
    kill_and_go_on(folder.path().join("orders.db").to_str().expect("a plain path"), &file);
}

#[test]
fn a_killed_import_goes_on_in_postgres() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(shops::database());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("purchases.txt");
    std::fs::write(&file, first_lines(PURCHASES)).expect("the file can be written");
    kill_and_go_on(database.url(), &file);
}
