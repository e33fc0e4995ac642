//! What contenders are asked to do.

mod catch_up;
mod command;
mod follow;
mod lost;

use std::sync::Arc;

use uuid::Uuid;

use crate::contender::{Answer, Deposit};
use crate::options::{Options, Workload};
use crate::report::Report;
use crate::roster::Opened;
use crate::server;

/// How many events the accounts of the log have.
const EVENTS_OF_AN_ACCOUNT: u32 = 10;

/// The workloads that need a log that is there before.
pub(crate) async fn on_a_log(
    options: &Options,
    contenders: &[Arc<Opened>],
    report: &mut Report,
) -> Answer<()> {
    let everybody = contenders;
    let contenders = &asked(contenders);
    let accounts: Arc<[Uuid]> =
        std::iter::repeat_with(Uuid::now_v7).take((options.events / EVENTS_OF_AN_ACCOUNT) as usize).collect();
    if options.asks_for(Workload::W2) || options.asks_for(Workload::W4) {
        for opened in contenders {
            fill(opened, &accounts).await?;
        }
    }
    if options.asks_for(Workload::W4) {
        catch_up::run(options, contenders, report).await?;
    }
    if options.asks_for(Workload::W3) {
        command::rehydrate(options, contenders, report).await?;
    }
    if options.asks_for(Workload::W2) {
        command::deposit(options, contenders, &accounts, report).await;
    }
    if options.asks_for(Workload::W1) {
        command::create(options, everybody, report).await;
    }
    Ok(())
}

/// The workloads in which somebody follows.
pub(crate) async fn followed(
    options: &Options,
    contenders: &[Arc<Opened>],
    report: &mut Report,
) -> Answer<()> {
    let contenders = &asked(contenders);
    if options.asks_for(Workload::W5) {
        follow::run(options, contenders, report).await;
    }
    if options.asks_for(Workload::W6) {
        lost::run(options, contenders, report).await?;
    }
    Ok(())
}

/// Those who can be asked for more than to create.
fn asked(contenders: &[Arc<Opened>]) -> Vec<Arc<Opened>> {
    contenders.iter().filter(|opened| !opened.contender.brings_callers()).cloned().collect()
}

/// Appends the log, with some callers at once.
async fn fill(opened: &Arc<Opened>, accounts: &Arc<[Uuid]>) -> Answer<()> {
    const CALLERS: usize = 16;
    const ATTEMPTS: u32 = 100;
    eprintln!("{}: {} accounts of {EVENTS_OF_AN_ACCOUNT} events", opened.name, accounts.len());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (opened, accounts) = (Arc::clone(opened), Arc::clone(accounts));
        callers.spawn(async move {
            for account in accounts.iter().skip(caller).step_by(CALLERS) {
                let mut attempts = 0;
                // Some refuse what does not conflict. That shows in W1; here the log has to be whole.
                while let Err(failure) =
                    opened.contender.create(*account, Deposit::many(EVENTS_OF_AN_ACCOUNT)).await
                {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(failure);
                    }
                }
            }
            Ok(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done?.map_err(|failure| format!("{}: {failure}", opened.name))?;
    }
    server::settle(&opened.database).await
}
