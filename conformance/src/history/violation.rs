//! Which law a history breaks, and who shows it.

use std::error::Error;
use std::fmt;

use super::Operation;

/// A law that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Law {
    /// Positions grow, and the versions of a stream count from 1 without holes in the same order.
    Numbering,
    /// An id is recorded once.
    Once,
    /// What was acknowledged is there.
    Kept,
    /// What is there was asked for, by somebody who was not refused.
    Asked,
    /// An append is there whole, in its order and together, and is seen so.
    Whole,
    /// An append happens only to streams that are as it expects.
    Expectation,
    /// An answer to an append tells where its events are.
    Answer,
    /// A conflict names a stream of the append, what was expected of it, and a version that is not that.
    Conflict,
    /// A read gives the first events of the stream, in order.
    Read,
    /// There is a moment for every operation between its beginning and its answer.
    Moment,
    /// Positions grow in the order of cause.
    Cause,
    /// Appends take effect in the order of their positions.
    Commit,
    /// It can be told which append wrote an event. Where it cannot, the history is not judged.
    Undecided,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numbering => "positions grow, and versions count from 1 in the same order",
            Self::Once => "an id is recorded once",
            Self::Kept => "what was acknowledged is there",
            Self::Asked => "what is there was asked for, by somebody who was not refused",
            Self::Whole => "an append is there whole, in its order and together",
            Self::Expectation => "an append happens only to streams that are as it expects",
            Self::Answer => "an answer tells where the events are",
            Self::Conflict => "a conflict has the facts",
            Self::Read => "a read gives the first events of the stream",
            Self::Moment => "every operation has a moment between its beginning and its answer",
            Self::Cause => "positions grow in the order of cause",
            Self::Commit => "appends take effect in the order of their positions",
            Self::Undecided => "it can be told which append wrote an event",
        })
    }
}

/// A history that no store can have that keeps its laws. As text it has a line for each operation that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is broken.
    pub law: Law,
    /// How.
    pub said: String,
    /// The operations that show it, if any do: a chain of them where each must come before the next.
    pub operations: Vec<Operation>,
}

impl Violation {
    pub(super) fn new(law: Law, said: String) -> Self {
        Self { law, said, operations: Vec::new() }
    }

    /// As shown by these operations too.
    pub(super) fn by<'a>(mut self, operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        self.operations.extend(operations.into_iter().cloned());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.said)?;
        self.operations.iter().try_for_each(|operation| write!(f, "\n{operation}"))
    }
}

impl Error for Violation {}
