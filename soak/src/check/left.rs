//! What is left of each event in the end, which is all of it unless its stream was cut short.

use factum_conformance::history::Logged;
use factum_core::retention::TRUNCATED;

use crate::content;
use crate::follower::Follower;
use crate::note::{Note, Seen};

/// What a store holds of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Live(Seen),
    /// Of a stream that is set apart.
    Archived(Seen),
    Erased(Logged),
}

/// An event that a subscriber may have seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) left: &'a Left,
    /// Whether it must have: what is erased now was perhaps erased before it came there.
    pub(crate) is_due: bool,
}

impl Left {
    pub(crate) fn event(&self) -> &Logged {
        match self {
            Self::Live(Seen { event, .. }) | Self::Archived(Seen { event, .. }) | Self::Erased(event) => {
                event
            }
        }
    }

    /// The name that it has now; none, if it is erased.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Live(seen) | Self::Archived(seen) => Some(&seen.name),
            Self::Erased(_) => None,
        }
    }

    /// What the feed has of it.
    pub(crate) fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Live(seen) | Self::Archived(seen) => Some(seen),
            Self::Erased(_) => None,
        }
    }

    /// Whether somebody can have been shown this of it, now or before.
    pub(crate) fn was(&self, seen: &Seen) -> bool {
        match self.seen() {
            Some(now) if now.name != TRUNCATED => now == seen,
            // It was something else once.
            _ => self.event() == &seen.event && seen.is_whole,
        }
    }

    /// What it is to a subscriber; nothing, if that never asked for it.
    pub(crate) fn wanted_by(&self, follower: Follower) -> Option<Wanted<'_>> {
        let event = self.event();
        let is_due = self.name().is_some_and(|name| follower.wants(event, name));
        let is_as_given = self.name().is_some_and(|name| name != TRUNCATED);
        let was_wanted = !is_as_given && follower.wants(event, content::event(event.id).name.as_str());
        (is_due || was_wanted).then_some(Wanted { left: self, is_due })
    }
}

impl TryFrom<Note> for Left {
    type Error = String;

    fn try_from(note: Note) -> Result<Self, String> {
        match note {
            Note::Saw(seen) => Ok(Self::Live(seen)),
            Note::Archived(seen) => Ok(Self::Archived(seen)),
            Note::Erased(event) => Ok(Self::Erased(event)),
            other => Err(format!("{other}, of what a store holds")),
        }
    }
}
