//! Contenders that take turns, so that whatever else the machine does meets all of them, and the ratio stays.
//!
//! Criterion measures one after the other: a build that begins in between looks like a difference. Here each round is one
//! turn of each, and a ratio is that of two turns of the same round.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::bench::Options;

/// A comparison about to be made.
#[must_use = "nothing is compared before `run`"]
pub struct Turns<'a> {
    title: String,
    options: &'a Options,
    runtime: &'a Runtime,
    /// How many things one time does.
    elements: u32,
    contenders: Vec<Contender<'a>>,
    /// Which of them the others are compared with.
    measure: Option<usize>,
}

/// Does something this often, and says how long it took.
type Turn<'a> = Box<dyn FnMut(u32) -> Duration + 'a>;

struct Contender<'a> {
    name: String,
    turn: Turn<'a>,
    /// How often it is done in one turn.
    times: u32,
    /// What one time took in each turn, in seconds.
    seconds: Vec<f64>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(title: String, options: &'a Options, runtime: &'a Runtime) -> Self {
        Self { title, options, runtime, elements: 1, contenders: Vec::new(), measure: None }
    }

    /// How many things one time does, of which the speed is told.
    pub fn elements(mut self, elements: u32) -> Self {
        self.elements = elements;
        self
    }

    /// And this contender, which is told how often to do it, and says how long that took.
    pub fn of<F>(mut self, name: impl Into<String>, mut turn: impl FnMut(u32) -> F + 'a) -> Self
    where
        F: Future<Output = Duration>,
    {
        let runtime = self.runtime;
        let turn = Box::new(move |times| runtime.block_on(turn(times)));
        self.contenders.push(Contender { name: name.into(), turn, times: 1, seconds: Vec::new() });
        self
    }

    /// And this one, with which the others are compared.
    pub fn beside<F>(mut self, name: impl Into<String>, turn: impl FnMut(u32) -> F + 'a) -> Self
    where
        F: Future<Output = Duration>,
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
        let is_measured = self.options.bench;
        if is_measured {
            self.contenders.iter_mut().for_each(|contender| contender.warm_up(self.options));
        }
        let rounds = if is_measured { self.options.sample_size as usize } else { 1 };
        let contenders = self.contenders.len();
        for round in 0..rounds {
            for place in 0..contenders {
                // Nobody always follows the same one.
                self.contenders[(round + place) % contenders].take_turn();
            }
        }
        println!("{self}");
    }

    fn ratio(&self, contender: &Contender<'_>) -> Option<Spread> {
        let measure = &self.contenders[self.measure?];
        Some(Spread::of(measure.seconds.iter().zip(&contender.seconds).map(|(beside, own)| beside / own)))
    }
}

impl Contender<'_> {
    /// Finds out how often it can do it in a turn.
    fn warm_up(&mut self, options: &Options) {
        let begin = Instant::now();
        loop {
            // By the clock on the wall and not by what it says: it may have to wait between two things it measures.
            let turn = Instant::now();
            (self.turn)(self.times);
            let took = turn.elapsed().as_nanos().max(1);
            // Step by step, because the first times are the slowest.
            let fitting = u128::from(self.times) * options.turn().as_nanos() / took;
            let next = fitting.clamp(1, u128::from(self.times) * 4);
            self.times = u32::try_from(next).unwrap_or(u32::MAX);
            if begin.elapsed() >= options.warm_up() && next == fitting.max(1) {
                return;
            }
        }
    }

    fn take_turn(&mut self) {
        self.seconds.push((self.turn)(self.times).as_secs_f64() / f64::from(self.times));
    }
}

impl fmt::Display for Turns<'_> {
    /// For each contender the time of one time, the speed, and the speed as a ratio: medians, and the middle half of the ratios.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for contender in &self.contenders {
            let seconds = Spread::of(contender.seconds.iter().copied());
            let took = Duration::from_secs_f64(seconds.median);
            let speed = f64::from(self.elements) / seconds.median;
            write!(f, "  {:<30} {took:>12.2?} {speed:>14.0}/s", contender.name)?;
            match self.ratio(contender) {
                Some(ratio) => {
                    writeln!(f, "   {:.2} ({:.2} to {:.2})", ratio.median, ratio.lower, ratio.upper)?;
                }
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Turns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("title", &self.title).finish_non_exhaustive()
    }
}

/// The middle of some numbers, and of their lower and upper halves.
pub(crate) struct Spread {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Spread {
    pub(crate) fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| sorted[(sorted.len() - 1) * quarter / 4];
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}
