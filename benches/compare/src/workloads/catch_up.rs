//! W4: catching up on the log, with a handler that does nothing, and with a number and a checkpoint in the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::FACTUM;
use crate::contender::{Answer, Handled};
use crate::options::{Options, Workload};
use crate::report::{Comparison, Report, Unit};
use crate::roster::Opened;
use crate::rounds::{Turn, take_turns};

/// A turn that has not caught up after so long is broken off, and what was handled until then counts.
const TURN_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &Options, contenders: &[Arc<Opened>], report: &mut Report) -> Answer<()> {
    let events = u64::from(options.events);
    let nothing = take_turns(contenders, options.rounds, |opened| async move {
        let handled = Handled::default();
        let begin = Instant::now();
        let done = timeout(TURN_MAX, opened.contender.catch_up(handled.clone())).await;
        turn(&opened, events, &handled, begin, done.ok())
    });
    report.add(Comparison {
        workload: Workload::W4,
        title: format!("W4: catch up on {events} events, with a handler that does nothing"),
        at: None,
        unit: Unit::EventsPerSecond,
        rows: nothing.await,
    });
    let total = take_turns(contenders, options.rounds, |opened| async move {
        let handled = Handled::default();
        let begin = Instant::now();
        let done = timeout(TURN_MAX, opened.contender.project(handled.clone())).await;
        turn(&opened, events, &handled, begin, done.ok())
    });
    report.add(Comparison {
        workload: Workload::W4,
        title: format!("W4: catch up on {events} events, with a number and the checkpoint in the database"),
        at: None,
        unit: Unit::EventsPerSecond,
        rows: total.await,
    });
    Ok(())
}

fn turn(
    opened: &Opened,
    events: u64,
    handled: &Handled,
    begin: Instant,
    done: Option<Answer<Option<()>>>,
) -> Option<Turn> {
    let took = begin.elapsed().as_secs_f64();
    let handled = handled.events();
    let remark = match done {
        Some(Ok(None)) => return None,
        Some(Err(failure)) => return Some(Turn::failed(&failure)),
        Some(Ok(Some(()))) if handled == events => None,
        Some(Ok(Some(()))) => {
            assert_ne!(opened.name, FACTUM, "{handled} of {events} events were handled");
            Some(format!("{handled} of {events} events were handled"))
        }
        None => Some(format!("broken off after {} s", TURN_MAX.as_secs())),
    };
    let handled = f64::from(u32::try_from(handled).unwrap_or(u32::MAX));
    Some(Turn { value: (handled > 0.0).then(|| handled / took), remark, ..Turn::default() })
}
