//! W5: from the acknowledgement of an append to the call of a handler that follows, while nothing else happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::contender::{Answer, Deposit, Heard};
use crate::options::{Options, Workload};
use crate::report::{Comparison, Report, Unit};
use crate::roster::Opened;
use crate::rounds::{Turn, take_turns};

/// Between one that was heard of and the next: long enough for everybody to have gone to sleep.
const REST: Duration = Duration::from_millis(5);

/// Whoever has not heard after so long has lost it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: &Options, contenders: &[Arc<Opened>], report: &mut Report) {
    for (is_afar, title) in [
        (false, "W5: from the acknowledgement to the handler, idle"),
        (true, "W5: from the acknowledgement to the handler in another process, idle"),
    ] {
        let rows = take_turns(contenders, options.rounds, |opened| async move {
            match turn(options, &opened, is_afar).await {
                Ok(turn) => turn,
                Err(failure) => Some(Turn::failed(&failure)),
            }
        });
        report.add(Comparison {
            workload: Workload::W5,
            title: title.to_owned(),
            at: None,
            unit: Unit::Milliseconds,
            rows: rows.await,
        });
    }
}

async fn turn(options: &Options, opened: &Opened, is_afar: bool) -> Answer<Option<Turn>> {
    let (tell, mut told) = unbounded_channel();
    let contender = &opened.contender;
    let follower = if is_afar { contender.follow_from_afar(tell) } else { contender.follow(tell) };
    let Some(follower) = follower.await? else { return Ok(None) };
    let mut turn = Turn::default();
    let result = measured(options, opened, &mut told, &mut turn).await;
    let stopped = follower.stop().await;
    result.and(stopped)?;
    let mut sorted = turn.latencies.clone();
    sorted.sort();
    turn.value = sorted.get(sorted.len() / 2).map(|middle| middle.as_secs_f64() * 1e3);
    Ok(Some(turn))
}

type Told = tokio::sync::mpsc::UnboundedReceiver<Heard>;

async fn measured(options: &Options, opened: &Opened, told: &mut Told, turn: &mut Turn) -> Answer<()> {
    // The first one only says that the follower has begun, and has caught up.
    append_and_hear(opened, told).await?;
    let begin = Instant::now();
    while turn.latencies.is_empty() || begin.elapsed() < options.turn() {
        sleep(REST).await;
        turn.latencies.push(append_and_hear(opened, told).await?);
    }
    Ok(())
}

async fn append_and_hear(opened: &Opened, told: &mut Told) -> Answer<Duration> {
    let deposit = Deposit::new();
    let reference = deposit.reference;
    opened.contender.create_followed(Uuid::now_v7(), deposit).await?;
    let acknowledged = Instant::now();
    loop {
        let heard = timeout(PATIENCE, told.recv()).await.map_err(|_| "the handler was not called")?;
        let heard = heard.ok_or("the follower has ended")?;
        if heard.reference == reference {
            // The handler may be called before the answer is here.
            return Ok(heard.at.saturating_duration_since(acknowledged));
        }
    }
}
