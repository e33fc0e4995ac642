//! The subscribers of a run: what each is to see, and how it keeps its checkpoint.

use clap::ValueEnum;
use factum_conformance::history::Logged;
use factum_core::store::Filter;
use factum_core::{EventName, StreamId};

use crate::content;

/// The category of the streams that all clients append to.
pub(crate) const SHARED: &str = "shared";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Follower {
    /// All events, each of them exactly once: its rows and its checkpoint are committed together.
    Everything,
    /// Those of one category.
    Category,
    /// Those of some streams.
    Streams,
    /// Those of one name.
    Name,
}

impl Follower {
    pub(crate) const ALL: [Self; 4] = [Self::Everything, Self::Category, Self::Streams, Self::Name];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Category => "category",
            Self::Streams => "streams",
            Self::Name => "name",
        }
    }

    /// Whether it writes rows, in the transaction that moves its checkpoint.
    pub(crate) fn is_exact(self) -> bool {
        self == Self::Everything
    }

    /// What it asks the store for.
    pub(crate) fn filter(self) -> Filter {
        let mut filter = Filter::all();
        match self {
            Self::Everything => {}
            Self::Category => filter.categories.push(SHARED.to_owned()),
            Self::Streams => filter.streams.extend(ledgers()),
            Self::Name => filter.names.push(EventName::new(content::TAGGED).expect("valid")),
        }
        filter
    }

    /// What it is to see of the log: the filter once more, in words of our own.
    pub(crate) fn wants(self, event: &Logged, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Category => event.stream.category() == SHARED,
            Self::Streams => matches!(event.stream.as_str(), "ledger/1" | "ledger/2"),
            Self::Name => name == content::TAGGED,
        }
    }
}

/// The streams that are there from the beginning to the end of a run.
pub(crate) fn ledgers() -> [StreamId; 2] {
    ["1", "2"].map(|id| StreamId::new("ledger", id).expect("valid"))
}
