//! What holds of an aggregate whatever commands come: each kind of mistake is found, and told by the fewest commands.

use std::cell::Cell;
use std::panic::catch_unwind;

use factum::testing::{Invariants, Rng};
use factum::{Aggregate, Apply, Event, Events, Handle, events};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "account.deposited")]
struct Deposited {
    cents: u8,
    /// Which a store does not keep.
    #[serde(skip)]
    bonus: u8,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "account.withdrawn")]
struct Withdrawn {
    cents: u8,
}

#[derive(Event, Clone, Debug)]
enum AccountEvent {
    Deposited(Deposited),
    Withdrawn(Withdrawn),
}

#[derive(Aggregate, Serialize, Deserialize, Default, Debug, PartialEq)]
#[aggregate(category = "account", id = u64, event = AccountEvent, snapshot(every = 3, version = 1))]
struct Account {
    balance: i32,
    /// Which a snapshot does not keep.
    #[serde(skip)]
    deposits: u8,
    is_counted: bool,
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: Deposited) {
        self.balance += i32::from(event.cents) + i32::from(event.bonus);
        assert!(event.cents != 99, "nobody has 99 cents");
        if self.is_counted {
            self.deposits += 1;
        }
    }
}

impl Apply<Withdrawn> for Account {
    fn apply(&mut self, event: Withdrawn) {
        self.balance -= i32::from(event.cents);
        self.is_counted = event.cents == 77;
    }
}

#[derive(Debug)]
struct Deposit(u8);

#[derive(Debug)]
struct DepositWithBonus(u8);

#[derive(Debug)]
struct DepositByChance(u8);

#[derive(Debug)]
struct Withdraw(u8);

#[derive(Debug)]
struct Overdraw(u8);

#[derive(Debug)]
struct Refuse;

#[derive(Debug)]
struct NotEnough;

fn deposited(cents: u8) -> Deposited {
    Deposited { cents, bonus: 0 }
}

type Decision = Result<Events<AccountEvent>, NotEnough>;

impl Handle<Deposit> for Account {
    type Error = NotEnough;

    fn handle(&self, command: &Deposit) -> Decision {
        Ok(events![deposited(command.0)])
    }
}

impl Handle<DepositWithBonus> for Account {
    type Error = NotEnough;

    fn handle(&self, command: &DepositWithBonus) -> Decision {
        Ok(events![Deposited { cents: command.0, bonus: 1 }])
    }
}

impl Handle<DepositByChance> for Account {
    type Error = NotEnough;

    fn handle(&self, command: &DepositByChance) -> Decision {
        thread_local!(static ASKED: Cell<u8> = const { Cell::new(0) });
        let asked = ASKED.with(|asked| asked.replace(asked.get().wrapping_add(1)));
        Ok(events![deposited(command.0 ^ asked)])
    }
}

impl Handle<Withdraw> for Account {
    type Error = NotEnough;

    fn handle(&self, command: &Withdraw) -> Decision {
        if self.balance < i32::from(command.0) {
            Err(NotEnough)
        } else {
            Ok(events![Withdrawn { cents: command.0 }])
        }
    }
}

impl Handle<Overdraw> for Account {
    type Error = NotEnough;

    fn handle(&self, command: &Overdraw) -> Decision {
        Ok(events![Withdrawn { cents: command.0 }])
    }
}

impl Handle<Refuse> for Account {
    type Error = NotEnough;

    fn handle(&self, _: &Refuse) -> Decision {
        Err(NotEnough)
    }
}

/// An account of which everything holds.
fn account() -> Invariants<Account> {
    Invariants::new()
        .command(|rng: &mut Rng, _| Deposit(rng.u8(1..50)))
        .command(|rng: &mut Rng, _| Withdraw(rng.u8(1..50)))
        .holds("nobody takes more than there is", |account: &Account| account.balance >= 0)
}

/// What the test of it says.
fn said(invariants: impl Fn() -> Invariants<Account> + std::panic::RefUnwindSafe) -> String {
    let panic = catch_unwind(|| invariants().check()).expect_err("it holds");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn what_holds_is_left_in_peace() {
    account().check();
}

#[test]
fn what_does_not_hold_is_told_by_the_fewest_commands() {
    let overdrawn = || account().command(|rng: &mut Rng, _| Overdraw(rng.u8(1..50)));
    let text = said(overdrawn);
    assert!(
        text.starts_with("this does not hold: nobody takes more than there is\nafter 1 commands"),
        "{text}"
    );
    assert!(text.contains("1. Overdraw(") && text.contains(r#"account.withdrawn {"cents":"#), "{text}");
    assert!(text.contains("the state is Account { balance: -"), "{text}");
    assert_eq!(text, said(overdrawn), "the sequences are the same each time");
    assert_ne!(text, said(move || overdrawn().seed(1)), "another seed leads elsewhere");
}

#[test]
fn what_does_not_hold_of_nothing_is_told_as_well() {
    let text = said(|| account().holds("there is always something", |account| account.balance > 0));
    assert!(text.starts_with("this does not hold: there is always something\nafter 0 commands"), "{text}");
}

#[test]
fn a_decision_by_chance_is_found() {
    let text = said(|| account().command(|rng: &mut Rng, _| DepositByChance(rng.u8(1..50))));
    assert!(text.contains("when it was decided again") && text.contains("after 1 commands"), "{text}");
}

#[test]
fn what_a_store_does_not_keep_is_found() {
    let text = said(|| account().command(|rng: &mut Rng, _| DepositWithBonus(rng.u8(1..50))));
    assert!(text.starts_with("a replay gives another state: Account {"), "{text}");
    assert!(text.contains("after 1 commands"), "{text}");
}

#[test]
fn what_a_snapshot_does_not_keep_is_found() {
    // It takes three: enough money, a withdrawal from which on deposits are counted, and one that is.
    let text =
        said(|| account().command(|_: &mut Rng, _| Deposit(77)).command(|_: &mut Rng, _| Withdraw(77)));
    assert!(text.starts_with("a replay from a snapshot gives another state: Account {"), "{text}");
    assert!(text.contains("after 3 commands"), "{text}");
}

#[test]
fn a_panic_is_told_with_its_commands() {
    let text = said(|| account().command(|_: &mut Rng, _| Deposit(99)));
    assert!(text.starts_with("it panicked: nobody has 99 cents\nafter 1 commands"), "{text}");
    assert!(text.contains("1. Deposit(99)"), "{text}");
}

#[test]
fn a_command_that_is_always_refused_is_no_test() {
    let text = said(|| account().command(|_: &mut Rng, _| Refuse));
    assert!(text.contains("Refuse` was refused every time"), "{text}");
}

#[test]
fn a_test_without_commands_is_none() {
    assert!(said(Invariants::new).starts_with("no command comes"));
    assert!(said(|| account().runs(0)).starts_with("no command comes"));
}
