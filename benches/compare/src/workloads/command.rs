//! Commands: W1 creates accounts, W2 appends to accounts of ten events, W3 loads accounts of many.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use crate::contender::{Answer, Deposit};
use crate::options::{Options, Workload};
use crate::report::{Comparison, Report, Unit};
use crate::roster::Opened;
use crate::rounds::{Turn, at_once, take_turns};
use crate::server;

/// W1: a new account, one command, one event.
pub(crate) async fn create(options: &Options, contenders: &[Arc<Opened>], report: &mut Report) {
    for callers in [1, 32, 128] {
        for opened in contenders {
            // For a fifth of a turn, so that what is made the first time is there: connections, plans.
            create_at_once(opened, callers, options.turn() / 5).await;
        }
        let rows = take_turns(contenders, options.rounds, |opened| async move {
            Some(create_at_once(&opened, callers, options.turn()).await)
        });
        report.add(Comparison {
            workload: Workload::W1,
            title: format!("W1: create an account, callers: {callers}"),
            at: Some(callers),
            unit: Unit::PerSecond,
            rows: rows.await,
        });
    }
}

/// So many callers create accounts for so long.
async fn create_at_once(opened: &Opened, callers: u32, time: Duration) -> Turn {
    let contender = Arc::clone(&opened.contender);
    if contender.brings_callers() {
        let turn = contender.create_at_once(callers, time).await;
        return turn.unwrap_or_else(|failure| Turn::failed(&failure));
    }
    let create = move || {
        let contender = Arc::clone(&contender);
        async move { contender.create(Uuid::now_v7(), Deposit::many(1)).await }
    };
    at_once(callers, time, create).await
}

/// W2: load an account of ten events, decide, append one.
pub(crate) async fn deposit(
    options: &Options,
    contenders: &[Arc<Opened>],
    accounts: &Arc<[Uuid]>,
    report: &mut Report,
) {
    for callers in [1, 32] {
        let rows = take_turns(contenders, options.rounds, |opened| async move {
            let accounts = Arc::clone(accounts);
            let deposit = move || {
                let (opened, accounts) = (Arc::clone(&opened), Arc::clone(&accounts));
                async move {
                    let next = opened.next_account.fetch_add(1, Ordering::Relaxed) % accounts.len();
                    opened.contender.deposit(accounts[next], Deposit::many(1)).await
                }
            };
            Some(at_once(callers, options.turn(), deposit).await)
        });
        report.add(Comparison {
            workload: Workload::W2,
            title: format!("W2: load an account of 10 events, decide, append one, callers: {callers}"),
            at: Some(callers),
            unit: Unit::PerSecond,
            rows: rows.await,
        });
    }
}

/// W3: all events of an account, without a snapshot.
pub(crate) async fn rehydrate(
    options: &Options,
    contenders: &[Arc<Opened>],
    report: &mut Report,
) -> Answer<()> {
    // An account grows by commands of a thousand events, because not every contender can have more in one.
    const AT_ONCE: u32 = 1000;
    let lengths: &[u32] = if options.smoke { &[100] } else { &[1000, 10_000] };
    for events in lengths {
        let account = Uuid::now_v7();
        for opened in contenders {
            let contender = &opened.contender;
            contender.create(account, Deposit::many(AT_ONCE.min(*events))).await?;
            for _ in 1..events / AT_ONCE {
                contender.deposit(account, Deposit::many(AT_ONCE)).await?;
            }
            server::settle(&opened.database).await?;
        }
        let rows = take_turns(contenders, options.rounds, |opened| async move {
            let contender = Arc::clone(&opened.contender);
            let load = move || {
                let contender = Arc::clone(&contender);
                async move {
                    let deposits = contender.rehydrate(account).await?;
                    assert_eq!(deposits, u64::from(*events), "the account has all of its events");
                    Ok(())
                }
            };
            let mut turn = at_once(1, options.turn(), load).await;
            turn.value = turn.value.map(|loads| loads * f64::from(*events));
            Some(turn)
        });
        report.add(Comparison {
            workload: Workload::W3,
            title: format!("W3: rehydrate an account of {events} events"),
            at: Some(*events),
            unit: Unit::EventsPerSecond,
            rows: rows.await,
        });
    }
    Ok(())
}
