//! Orders are brought to their end by nodes that are killed, on each store, and each step is taken once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// As many as take less than a minute on a machine with two cores that has other work; the program itself takes 10,000.
const ORDERS: &str = "160";
const RATE: &str = "30";
/// How often nodes are killed that are at work.
const KILLS: &str = "10";

#[test]
fn each_step_of_an_order_is_taken_once_on_postgres() {
    assert_held("postgres");
}

#[test]
fn each_step_of_an_order_is_taken_once_on_sqlite() {
    assert_held("sqlite");
}

fn assert_held(store: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_factum-soak"))
        .args(["orders", "--seed", "1", "--store", store])
        .args(["--orders", ORDERS, "--rate", RATE, "--kills", KILLS])
        .output()
        .unwrap();

    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    let is_held = output.status.code() == Some(0) && said.contains(&format!("held: {store}, seed 1"));
    assert!(is_held, "{said}");
}
