//! Moments that must come before each other, each in a span of time.

/// Moments, and pairs of them in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    moments: Vec<Moment>,
}

#[derive(Clone, Debug)]
struct Moment {
    /// The first time it can have.
    from: u64,
    /// The last.
    until: u64,
    /// What comes after it.
    next: Vec<usize>,
    /// How many come before it.
    before: usize,
}

/// Why the moments cannot be had. Each of those named must come before the next.
#[derive(Clone, Debug)]
pub(super) enum Knot {
    /// And the last before the first.
    Circle(Vec<usize>),
    /// But the last is over before the first can be.
    Late(Vec<usize>),
}

impl Graph {
    /// A moment that is not before `from` nor after `until`.
    pub(super) fn moment(&mut self, from: u64, until: u64) -> usize {
        self.moments.push(Moment { from, until, next: Vec::new(), before: 0 });
        self.moments.len() - 1
    }

    /// Demands that `earlier` comes before `later`. A moment that comes before itself is a circle.
    pub(super) fn order(&mut self, earlier: usize, later: usize) {
        self.moments[earlier].next.push(later);
        self.moments[later].before += 1;
    }

    /// The moments in an order that keeps the pairs and the times, or why there is none.
    pub(super) fn solve(&self) -> Result<Vec<usize>, Knot> {
        let mut open: Vec<usize> = self.moments.iter().map(|moment| moment.before).collect();
        let mut earliest: Vec<u64> = self.moments.iter().map(|moment| moment.from).collect();
        // Which of those before it makes it so late.
        let mut because: Vec<Option<usize>> = vec![None; open.len()];
        let mut order: Vec<usize> = (0..open.len()).filter(|&at| open[at] == 0).collect();
        let mut done = 0;
        while let Some(&at) = order.get(done) {
            done += 1;
            let moment = &self.moments[at];
            if earliest[at] > moment.until {
                let mut chain = vec![at];
                while let Some(earlier) = because[chain[chain.len() - 1]] {
                    chain.push(earlier);
                }
                chain.reverse();
                return Err(Knot::Late(chain));
            }
            for &later in &moment.next {
                if earliest[later] < earliest[at] {
                    earliest[later] = earliest[at];
                    because[later] = Some(at);
                }
                open[later] -= 1;
                if open[later] == 0 {
                    order.push(later);
                }
            }
        }
        if order.len() < self.moments.len() {
            return Err(Knot::Circle(self.circle(&open)));
        }
        // Stable, so that the pairs are kept where times are equal.
        order.sort_by_key(|&at| earliest[at]);
        Ok(order)
    }

    /// A circle among the moments that still wait for others: each of them waits for one of them.
    fn circle(&self, open: &[usize]) -> Vec<usize> {
        let mut waits_for: Vec<Option<usize>> = vec![None; open.len()];
        for (at, moment) in self.moments.iter().enumerate().filter(|(at, _)| open[*at] > 0) {
            for &later in &moment.next {
                waits_for[later] = Some(at);
            }
        }
        let start = open.iter().position(|&before| before > 0);
        let mut walk: Vec<usize> = start.into_iter().collect();
        let mut at_step: Vec<Option<usize>> = vec![None; open.len()];
        while let Some(&last) = walk.last() {
            if let Some(step) = at_step[last].replace(walk.len() - 1) {
                walk.truncate(walk.len() - 1);
                walk.drain(..step);
                break;
            }
            walk.extend(waits_for[last]);
        }
        walk.reverse();
        walk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_the_order_of_their_times_and_pairs() {
        let mut graph = Graph::default();
        let (last, first, middle) = (graph.moment(5, 9), graph.moment(0, 5), graph.moment(5, 6));
        graph.order(middle, last);
        assert_eq!(graph.solve().expect("there is an order"), [first, middle, last]);
    }

    #[test]
    fn a_moment_that_is_over_before_what_precedes_it_is_late() {
        let mut graph = Graph::default();
        let (one, two, three) = (graph.moment(5, 9), graph.moment(0, 9), graph.moment(0, 4));
        graph.order(one, two);
        graph.order(two, three);
        assert!(matches!(graph.solve(), Err(Knot::Late(chain)) if chain == [one, two, three]));
    }

    #[test]
    fn pairs_may_not_run_in_a_circle() {
        let mut graph = Graph::default();
        let moments: Vec<_> = (0..4).map(|_| graph.moment(0, 9)).collect();
        // One that waits for the circle, and is not part of it.
        graph.order(moments[3], moments[0]);
        for at in 1..4 {
            graph.order(moments[at], moments[at % 3 + 1]);
        }
        let Err(Knot::Circle(mut circle)) = graph.solve() else { panic!("there is a circle") };
        circle.sort_unstable();
        assert_eq!(circle, moments[1..]);
    }
}
