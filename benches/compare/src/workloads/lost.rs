//! W6: sixteen writers while a subscriber follows. Which of the events that were acknowledged did it never see?

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::contender::{Answer, Deposit};
use crate::options::Options;
use crate::report::{Losses, Report};
use crate::roster::Opened;
use crate::server;

const WRITERS: u32 = 16;

/// Whoever has heard of nothing more for so long will not: longer than anybody's margin and pauses between polls.
const SILENCE: Duration = Duration::from_secs(4);

pub(crate) async fn run(options: &Options, contenders: &[Arc<Opened>], report: &mut Report) -> Answer<()> {
    // Losses add up, so a few turns say as much as many.
    let rounds = options.rounds.min(3);
    for pause in [false, true] {
        for opened in contenders {
            let table = opened.contender.table();
            match table {
                Some(table) => server::pause_before_commit(&opened.database, table, pause).await?,
                None if pause => continue,
                None => {}
            }
            let mut losses =
                Losses { name: opened.name, pause, committed: 0, lost: 0, refused: 0, remark: None };
            for _ in 0..rounds {
                match turn(options, opened, &mut losses).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(failure) => {
                        losses.remark = Some(format!("failed: {failure}"));
                        break;
                    }
                }
            }
            if let Some(table) = table {
                server::pause_before_commit(&opened.database, table, false).await?;
            }
            if losses.committed > 0 || losses.remark.is_some() {
                report.add_losses(losses);
            }
        }
    }
    Ok(())
}

/// Whether there is anything that follows.
async fn turn(options: &Options, opened: &Arc<Opened>, losses: &mut Losses) -> Answer<bool> {
    let (tell, mut told) = unbounded_channel();
    let Some(follower) = opened.contender.follow(tell).await? else { return Ok(false) };
    let mut seen = HashSet::new();
    let writing = write(options, opened);
    tokio::pin!(writing);
    let (committed, refused) = loop {
        tokio::select! {
            written = &mut writing => break written,
            Some(heard) = told.recv() => drop(seen.insert(heard.reference)),
        }
    };
    while !committed.is_subset(&seen) {
        match timeout(SILENCE, told.recv()).await {
            Ok(Some(heard)) => drop(seen.insert(heard.reference)),
            Ok(None) | Err(_) => break,
        }
    }
    losses.committed += committed.len();
    losses.refused += refused;
    losses.lost += committed.difference(&seen).count();
    follower.stop().await?;
    Ok(true)
}

async fn write(options: &Options, opened: &Arc<Opened>) -> (HashSet<Uuid>, u64) {
    let begin = Instant::now();
    let time = options.turn() * 2;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let contender = Arc::clone(&opened.contender);
        writers.spawn(async move {
            let (mut committed, mut refused) = (Vec::new(), 0);
            while begin.elapsed() < time {
                let deposit = Deposit::new();
                let reference = deposit.reference;
                match contender.create_followed(Uuid::now_v7(), deposit).await {
                    Ok(()) => committed.push(reference),
                    // Whether it was written is not known, so it is not asked for.
                    Err(_) => refused += 1,
                }
            }
            (committed, refused)
        });
    }
    let mut all = (HashSet::new(), 0);
    for (committed, refused) in writers.join_all().await {
        all.0.extend(committed);
        all.1 += refused;
    }
    all
}
