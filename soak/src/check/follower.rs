//! What a subscriber saw, over all its lives: everything, in order, from each checkpoint on.

use std::collections::HashSet;
use std::fmt;

use factum_core::Position;

use super::left::Wanted;
use crate::note::{Note, Seen};

/// What a subscriber did that kept the laws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// How many processes it was.
    pub(crate) lives: usize,
    /// How many events it saw.
    pub(crate) events: usize,
    /// How many of them once more, after it had not come to move its checkpoint.
    pub(crate) again: usize,
    /// How often its checkpoint moved.
    pub(crate) moves: usize,
    /// How often it read its checkpoint and went on from there.
    pub(crate) resumed: usize,
    /// Moves without an answer that had happened.
    pub(crate) unknown_moved: usize,
    /// Moves without an answer that had not.
    pub(crate) unknown_stayed: usize,
}

/// Whether these notes, of one life after the other, are those of a subscriber that lost nothing of `wanted` up to
/// `end`.
///
/// Between two readings of its checkpoint it sees what follows, without a hole; and it moves its checkpoint only over
/// what it has seen. So nothing at or below a checkpoint is unseen, and the last one is at the end.
pub(crate) fn check(lives: &[Vec<Note>], wanted: &[Wanted<'_>], end: Position) -> Result<Followed, String> {
    let mut reader = Reader { wanted, ..Reader::default() };
    for notes in lives.iter().filter(|notes| !notes.is_empty()) {
        reader.followed.lives += 1;
        // What it was about to be told, nobody knows; and what it does next is to read its checkpoint.
        reader.is_reading = false;
        for note in notes {
            reader.hear(note)?;
        }
    }
    if reader.checkpoint < end {
        return Err(format!("its checkpoint is at {} and not at {end}", reader.checkpoint));
    }
    Ok(reader.followed)
}

#[derive(Default)]
struct Reader<'a> {
    wanted: &'a [Wanted<'a>],
    /// Where it was seen last, or moved to.
    checkpoint: Position,
    /// A move from there that was asked for and not yet answered.
    moving: Option<Position>,
    /// Moves from there without an answer, which had not happened when it was read. They may yet.
    late: Vec<Position>,
    is_reading: bool,
    /// How many of `wanted` are seen since the checkpoint was read.
    next: usize,
    seen: HashSet<Position>,
    followed: Followed,
}

impl Reader<'_> {
    fn hear(&mut self, note: &Note) -> Result<(), String> {
        match note {
            Note::Resumed(at) => return self.resume(*at),
            Note::Error(_) => self.is_reading = false,
            Note::Saw(_) if self.moving.is_some() => {
                return Err(format!("{note:?} before it was told of a move"));
            }
            _ if !self.is_reading => return Err(format!("{note:?} before it has read its checkpoint")),
            Note::Saw(seen) => return self.see(seen),
            Note::Moving { from, to } => {
                if *from != self.checkpoint || to <= from || self.moving.is_some() {
                    return Err(format!("it moves from {from} to {to} and was at {}", self.checkpoint));
                }
                self.pass_over_what_may_be_missing(*to);
                let next = self.wanted.get(self.next).map(|unseen| unseen.left.event().position);
                if let Some(unseen) = next.filter(|unseen| unseen <= to) {
                    return Err(format!("it moves to {to} and has not seen {unseen}"));
                }
                self.moving = Some(*to);
            }
            Note::Moved => {
                let to = self.moving.take().ok_or("it moved and did not ask to")?;
                self.settle_at(to);
                self.followed.moves += 1;
            }
            Note::Refused => {
                self.moving.take().ok_or("a move was refused and not asked for")?;
                self.is_reading = false;
            }
            other => return Err(format!("{other:?}, of a subscriber")),
        }
        Ok(())
    }

    fn resume(&mut self, at: Position) -> Result<(), String> {
        self.late.extend(self.moving.take());
        if at != self.checkpoint {
            let Some(moved) = self.late.iter().position(|to| *to == at) else {
                let late = &self.late;
                return Err(format!(
                    "its checkpoint was at {} or {late:?}, and then at {at}",
                    self.checkpoint
                ));
            };
            self.late.remove(moved);
            self.followed.unknown_moved += 1;
            self.settle_at(at);
        }
        self.is_reading = true;
        self.next = self.wanted.partition_point(|wanted| wanted.left.event().position <= at);
        self.followed.resumed += 1;
        Ok(())
    }

    /// What was to move it from where it was finds it elsewhere.
    fn settle_at(&mut self, at: Position) {
        self.checkpoint = at;
        self.followed.unknown_stayed += self.late.len();
        self.late.clear();
    }

    /// What was erased may have been, when it read.
    fn pass_over_what_may_be_missing(&mut self, up_to: Position) {
        let is_passed_over = |wanted: &Wanted<'_>| !wanted.is_due && wanted.left.event().position <= up_to;
        while self.wanted.get(self.next).is_some_and(is_passed_over) {
            self.next += 1;
        }
    }

    fn see(&mut self, seen: &Seen) -> Result<(), String> {
        let before = Position(seen.event.position.0.saturating_sub(1));
        self.pass_over_what_may_be_missing(before);
        let Some(wanted) = self.wanted.get(self.next) else {
            return Err(format!("it saw {seen:?}, after the end of what it wants"));
        };
        if !wanted.left.was(seen) {
            return Err(format!(
                "after its checkpoint {} it saw {seen:?} where {:?} is next",
                self.checkpoint, wanted.left
            ));
        }
        self.next += 1;
        self.followed.events += 1;
        self.followed.again += usize::from(!self.seen.insert(seen.event.position));
        Ok(())
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, events, again, moves, resumed, unknown_moved, unknown_stayed } = self;
        write!(
            f,
            "{events} events, {again} of them again; {lives} processes, {resumed} starts from its checkpoint, \
             {moves} moves, {unknown_moved} unknown that happened, {unknown_stayed} that did not"
        )
    }
}

#[cfg(test)]
mod tests {
    use factum_conformance::history::Logged;
    use factum_core::{EventId, Version};

    use super::*;
    use crate::check::left::Left;
    use crate::follower::Follower;

    /// A log of six events, of which all are wanted.
    fn log() -> Vec<Seen> {
        let seen = |at| {
            let (version, position) = (Version(at), Position(10 * at));
            let event = Logged { id: EventId::new(), stream: "a/b".parse().unwrap(), version, position };
            Seen { event, name: "soak.happened".to_owned(), is_whole: true }
        };
        (1..=6).map(seen).collect()
    }

    /// Two lives: the first is killed before it is told of its second move, which has happened.
    fn lives(log: &[Seen]) -> Vec<Vec<Note>> {
        let saw = |at: usize| Note::Saw(log[at - 1].clone());
        let (resumed, moving) = (
            |at| Note::Resumed(Position(at)),
            |from, to| Note::Moving { from: Position(from), to: Position(to) },
        );
        let first = vec![resumed(0), saw(1), saw(2), moving(0, 20), Note::Moved, saw(3), moving(20, 35)];
        let second = vec![
            resumed(35),
            saw(4),
            moving(35, 40),
            Note::Refused,
            resumed(35),
            saw(4),
            saw(5),
            saw(6),
            moving(35, 60),
            Note::Moved,
        ];
        vec![first, second]
    }

    fn verdict(log: &[Seen], lives: &[Vec<Note>]) -> Result<Followed, String> {
        let left: Vec<_> = log.iter().cloned().map(Left::Live).collect();
        verdict_on(&left, lives)
    }

    fn verdict_on(left: &[Left], lives: &[Vec<Note>]) -> Result<Followed, String> {
        let wanted: Vec<_> = left.iter().filter_map(|left| left.wanted_by(Follower::Everything)).collect();
        check(lives, &wanted, Position(60))
    }

    #[test]
    fn what_was_erased_may_have_been_seen_and_nothing_else() {
        let log = log();
        let mut left: Vec<_> = log.iter().cloned().map(Left::Archived).collect();
        for at in [1, 4] {
            left[at] = Left::Erased(log[at].event.clone());
        }
        left[2] = Left::Live(Seen { name: "factum.truncated".to_owned(), ..log[2].clone() });
        assert_eq!(verdict_on(&left, &lives(&log)).unwrap().events, 7);
        // Each may be missing, wherever it was seen.
        for life in 0..2 {
            for at in 0..lives(&log)[life].len() {
                let mut lives = lives(&log);
                let Note::Saw(seen) = lives[life].remove(at) else { continue };
                let may_be_missing = [1, 4].iter().any(|&erased| log[erased] == seen);
                assert_eq!(verdict_on(&left, &lives).is_ok(), may_be_missing, "note {at} of life {life}");
                for other in [
                    Seen { is_whole: false, ..seen.clone() },
                    Seen { event: Logged { version: Version(9), ..seen.event.clone() }, ..seen.clone() },
                    Seen { event: Logged { id: EventId::new(), ..seen.event.clone() }, ..seen },
                ] {
                    lives[life].insert(at, Note::Saw(other));
                    verdict_on(&left, &lives).expect_err("it is another");
                    lives[life].remove(at);
                }
            }
        }
    }

    #[test]
    fn a_subscriber_that_lost_nothing_is_told_so() {
        let log = log();
        let followed = verdict(&log, &lives(&log)).unwrap();
        let expected = Followed {
            lives: 2,
            events: 7,
            again: 1,
            moves: 2,
            resumed: 3,
            unknown_moved: 1,
            unknown_stayed: 0,
        };
        assert_eq!(followed, expected);
    }

    #[test]
    fn no_event_can_be_left_out() {
        let log = log();
        for life in 0..2 {
            for at in 0..lives(&log)[life].len() {
                let mut lives = lives(&log);
                if matches!(lives[life].remove(at), Note::Saw(_)) {
                    verdict(&log, &lives).expect_err(&format!("note {at} of life {life} is missing"));
                }
            }
        }
    }

    #[test]
    fn no_note_can_come_twice_or_before_another() {
        let log = log();
        for life in 0..2 {
            for at in 1..lives(&log)[life].len() {
                let mut twice = lives(&log);
                let note = twice[life][at].clone();
                twice[life].insert(at, note);
                // To read a checkpoint twice is no fault.
                if !matches!(twice[life][at], Note::Resumed(_)) {
                    verdict(&log, &twice).expect_err(&format!("note {at} of life {life} is there twice"));
                }
                let mut swapped = lives(&log);
                swapped[life].swap(at - 1, at);
                verdict(&log, &swapped).expect_err(&format!("note {at} of life {life} came too early"));
            }
        }
    }

    #[test]
    fn a_checkpoint_is_where_it_was_moved_to() {
        let log = log();
        for at in [0, 10, 30, 40, 60] {
            let mut lives = lives(&log);
            lives[1][0] = Note::Resumed(Position(at));
            verdict(&log, &lives).expect_err(&format!("it went on from {at}"));
        }
    }

    #[test]
    fn a_move_may_arrive_late() {
        let log = log();
        let mut lives = lives(&log);
        let late = [
            Note::Resumed(Position(20)),
            Note::Saw(log[2].clone()),
            Note::Moving { from: Position(20), to: Position(30) },
            Note::Refused,
        ];
        lives[1].splice(0..0, late);
        assert_eq!(verdict(&log, &lives).unwrap().unknown_moved, 1);
    }

    #[test]
    fn a_move_that_was_refused_has_not_happened() {
        let log = log();
        let mut lives = lives(&log);
        lives[0].push(Note::Refused);
        verdict(&log, &lives).unwrap_err();
    }

    #[test]
    fn the_end_is_reached() {
        let log = log();
        let mut lives = lives(&log);
        lives[1].truncate(9);
        verdict(&log, &lives).unwrap_err();
    }

    #[test]
    fn an_event_that_was_changed_is_another() {
        let log = log();
        let mut lives = lives(&log);
        lives[0][1] = Note::Saw(Seen { is_whole: false, ..log[0].clone() });
        verdict(&log, &lives).unwrap_err();
    }
}
