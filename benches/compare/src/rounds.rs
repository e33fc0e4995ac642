//! Turns in rounds, so that whatever else the machine does meets all contenders alike.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::contender::{Answer, Failure};
use crate::roster::Opened;

/// What came of one turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// In the unit of the comparison.
    pub(crate) value: Option<f64>,
    /// What each time took.
    pub(crate) latencies: Vec<Duration>,
    /// How often it was refused, which counts for nothing.
    pub(crate) refused: u64,
    /// What has to be said of it.
    pub(crate) remark: Option<String>,
}

impl Turn {
    /// It could not be done.
    pub(crate) fn failed(failure: &Failure) -> Self {
        Self { remark: Some(format!("failed: {failure}")), ..Self::default() }
    }
}

/// What came of all turns of a contender.
#[derive(Debug)]
pub(crate) struct Row {
    /// Of the contender.
    pub(crate) name: &'static str,
    /// By round.
    pub(crate) values: Vec<Option<f64>>,
    /// What each time took, in milliseconds and in order.
    pub(crate) latencies_ms: Vec<f64>,
    /// How often it was refused.
    pub(crate) refused: u64,
    /// What has to be said.
    pub(crate) remarks: BTreeSet<String>,
}

impl Row {
    fn new(name: &'static str) -> Self {
        let (values, latencies_ms, remarks) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { name, values, latencies_ms, refused: 0, remarks }
    }

    fn add(&mut self, turn: Turn) {
        self.values.push(turn.value);
        self.latencies_ms.extend(turn.latencies.iter().map(|took| took.as_secs_f64() * 1e3));
        self.refused += turn.refused;
        self.remarks.extend(turn.remark);
    }

    /// The time below which this many hundredths of all times are.
    pub(crate) fn percentile_ms(&self, hundredths: usize) -> Option<f64> {
        let last = self.latencies_ms.len().checked_sub(1)?;
        Some(self.latencies_ms[last * hundredths / 100])
    }
}

/// Lets contenders take turns. `None` says that the contender cannot do it at all; it is not asked again.
pub(crate) async fn take_turns<F>(
    contenders: &[Arc<Opened>],
    rounds: u32,
    turn: impl Fn(Arc<Opened>) -> F,
) -> Vec<Row>
where
    F: Future<Output = Option<Turn>>,
{
    let mut rows: Vec<_> = contenders.iter().map(|opened| Some(Row::new(opened.name))).collect();
    for round in 0..rounds as usize {
        for place in 0..contenders.len() {
            // Nobody always follows the same one.
            let place = (round + place) % contenders.len();
            let Some(row) = &mut rows[place] else { continue };
            match turn(Arc::clone(&contenders[place])).await {
                Some(turn) => row.add(turn),
                None => rows[place] = None,
            }
        }
    }
    let mut rows: Vec<_> = rows.into_iter().flatten().collect();
    for row in &mut rows {
        row.latencies_ms.sort_by(f64::total_cmp);
    }
    rows
}

/// So many callers do `work` for so long, each again as soon as it was done. The value is how often, per second.
pub(crate) async fn at_once<F>(
    callers: u32,
    time: Duration,
    work: impl Fn() -> F + Clone + Send + 'static,
) -> Turn
where
    F: Future<Output = Answer<()>> + Send + 'static,
{
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for _ in 0..callers {
        let work = work.clone();
        under_way.spawn(async move {
            let mut turn = Turn::default();
            while begin.elapsed() < time {
                let asked = Instant::now();
                match work().await {
                    Ok(()) => turn.latencies.push(asked.elapsed()),
                    Err(failure) => {
                        turn.refused += 1;
                        turn.remark.get_or_insert_with(|| format!("refused: {failure}"));
                    }
                }
            }
            turn
        });
    }
    let mut all = Turn::default();
    for turn in under_way.join_all().await {
        all.latencies.extend(turn.latencies);
        all.refused += turn.refused;
        all.remark = all.remark.or(turn.remark);
    }
    let done = u32::try_from(all.latencies.len()).unwrap_or(u32::MAX);
    all.value = (done > 0).then(|| f64::from(done) / begin.elapsed().as_secs_f64());
    all
}

/// The middle of some numbers, and of their lower and upper halves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Spread {
    /// None of no numbers.
    pub(crate) fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |quarter: usize| sorted[last * quarter / 4];
        Some(Self { lower: at(1), median: at(2), upper: at(3) })
    }
}
