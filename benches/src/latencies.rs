//! Latencies, of which not the sum counts but how many are long: contenders take turns, as in `turns.rs`, and what is told is
//! the middle and the worst hundredth.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::bench::Options;
use crate::turns::Spread;

/// A comparison about to be made.
#[must_use = "nothing is compared before `run`"]
pub struct Latencies<'a> {
    title: String,
    options: &'a Options,
    runtime: &'a Runtime,
    contenders: Vec<Contender<'a>>,
    /// Which of them the others are compared with.
    measure: Option<usize>,
}

/// Does something for so long, and says how long each time took.
type Turn<'a> = Box<dyn FnMut(Duration) -> Vec<Duration> + 'a>;

struct Contender<'a> {
    name: String,
    turn: Turn<'a>,
    /// What each time took, in each turn, in milliseconds.
    turns: Vec<Vec<f64>>,
}

impl<'a> Latencies<'a> {
    pub(crate) fn new(title: String, options: &'a Options, runtime: &'a Runtime) -> Self {
        Self { title, options, runtime, contenders: Vec::new(), measure: None }
    }

    /// And this contender, which is told how long to go on, and says how long each time took.
    pub fn of<F>(mut self, name: impl Into<String>, mut turn: impl FnMut(Duration) -> F + 'a) -> Self
    where
        F: Future<Output = Vec<Duration>>,
    {
        let runtime = self.runtime;
        let turn = Box::new(move |time| runtime.block_on(turn(time)));
        self.contenders.push(Contender { name: name.into(), turn, turns: Vec::new() });
        self
    }

    /// And this one, with which the others are compared.
    pub fn beside<F>(mut self, name: impl Into<String>, turn: impl FnMut(Duration) -> F + 'a) -> Self
    where
        F: Future<Output = Vec<Duration>>,
    {
        self.measure = Some(self.contenders.len());
        self.of(name, turn)
    }

    /// Compares, and prints what came of it.
    pub fn run(mut self) {
        if !self.options.asks_for(&self.title) {
            return;
        }
        let measure = self.measure.map(|measure| self.contenders[measure].name.clone());
        self.contenders.retain(|contender| self.options.asks_for_contender(&contender.name));
        self.measure = self.contenders.iter().position(|contender| Some(&contender.name) == measure.as_ref());
        let (rounds, time) = if self.options.bench {
            for contender in &mut self.contenders {
                (contender.turn)(self.options.warm_up());
            }
            (self.options.sample_size as usize, self.options.turn())
        } else {
            (1, Duration::from_millis(50))
        };
        let contenders = self.contenders.len();
        for round in 0..rounds {
            for place in 0..contenders {
                // Nobody always follows the same one.
                let contender = &mut self.contenders[(round + place) % contenders];
                let took = (contender.turn)(time).into_iter().map(|took| took.as_secs_f64() * 1e3);
                contender.turns.push(took.collect());
            }
        }
        println!("{self}");
    }

    /// By how much the middle is longer than that of the measure in the turn of the same round.
    fn ratio(&self, contender: &Contender<'_>) -> Option<Spread> {
        let measure = &self.contenders[self.measure?];
        let middles = |contender: &Contender<'_>| -> Vec<f64> {
            contender.turns.iter().map(|turn| Spread::of(turn.iter().copied()).median).collect()
        };
        Some(Spread::of(middles(contender).iter().zip(middles(measure)).map(|(own, beside)| own / beside)))
    }
}

impl fmt::Display for Latencies<'_> {
    /// For each contender the middle and the worst hundredth of all its times, of how many, and how many times as long the
    /// middle is: the median, and the middle half of those ratios.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for contender in &self.contenders {
            let mut times: Vec<f64> = contender.turns.concat();
            times.sort_by(f64::total_cmp);
            let (p50, p99) = (times[(times.len() - 1) / 2], times[(times.len() - 1) * 99 / 100]);
            let (name, count) = (&contender.name, times.len());
            write!(f, "  {name:<36} p50 {p50:>8.3} ms   p99 {p99:>8.3} ms   of {count:>6}")?;
            match self.ratio(contender) {
                Some(ratio) => {
                    writeln!(f, "   x {:.2} ({:.2} to {:.2})", ratio.median, ratio.lower, ratio.upper)?;
                }
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Latencies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies").field("title", &self.title).finish_non_exhaustive()
    }
}
