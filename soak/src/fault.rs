//! What is done to a store and to those who use it.

mod hands;

use crate::target::Kind;

pub(crate) use self::hands::{Hands, Look, Postgres};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// All processes of the server are killed at once, and it is started again.
    ServerKilled,
    /// All connections are closed.
    NetworkCut,
    /// All connections are reset.
    NetworkReset,
    /// New connections are refused for a while, and sometimes those are gone that were open.
    NetworkRefused,
    /// Nothing gets through for a while, and connections that have lost something stay silent for some more.
    NetworkSilent,
    /// Everything comes late for a while.
    NetworkSlow,
    /// The answer to a commit is lost, with its connection.
    AnswerLost,
    /// The connection is reset while it commits.
    CommitReset,
    /// A process of many clients is killed, and another begins in its place.
    WorkerKilled,
    /// A process of many clients stands still for a moment.
    WorkerPaused,
    /// A subscriber is killed, and begins again.
    SubscriberKilled,
    /// A stranger has a transaction open in the same database.
    StrangerHere,
    /// A stranger has a transaction open in another database of the server.
    StrangerElsewhere,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::ServerKilled,
        Self::NetworkCut,
        Self::NetworkReset,
        Self::NetworkRefused,
        Self::NetworkSilent,
        Self::NetworkSlow,
        Self::AnswerLost,
        Self::CommitReset,
        Self::WorkerKilled,
        Self::WorkerPaused,
        Self::SubscriberKilled,
        Self::StrangerHere,
        Self::StrangerElsewhere,
    ];

    /// Those of the server and of the way to it, one at a time.
    pub(crate) const OF_SERVER: [Self; 8] = [
        Self::ServerKilled,
        Self::NetworkCut,
        Self::NetworkReset,
        Self::NetworkRefused,
        Self::NetworkSilent,
        Self::NetworkSlow,
        Self::AnswerLost,
        Self::CommitReset,
    ];

    /// Those that come to one kind of store.
    pub(crate) fn of(kind: Kind) -> Vec<Self> {
        let server: &[Self] = if kind == Kind::Postgres { &Self::OF_SERVER } else { &[] };
        [server, Self::of_users(kind)].concat()
    }

    /// Those of its users, which come while the others do.
    pub(crate) fn of_users(kind: Kind) -> &'static [Self] {
        const ALL: [Fault; 5] = [
            Fault::WorkerKilled,
            Fault::WorkerPaused,
            Fault::SubscriberKilled,
            Fault::StrangerHere,
            Fault::StrangerElsewhere,
        ];
        match kind {
            Kind::Postgres => &ALL,
            Kind::Sqlite => &ALL[..3],
        }
    }

    /// Whether it kills a process, of the server or of those who use it.
    pub(crate) fn is_kill(self) -> bool {
        matches!(self, Self::ServerKilled | Self::WorkerKilled | Self::SubscriberKilled)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::NetworkCut => "network cut",
            Self::NetworkReset => "network reset",
            Self::NetworkRefused => "network refused",
            Self::NetworkSilent => "network silent",
            Self::NetworkSlow => "network slow",
            Self::AnswerLost => "answer lost",
            Self::CommitReset => "commit reset",
            Self::WorkerKilled => "worker killed",
            Self::WorkerPaused => "worker paused",
            Self::SubscriberKilled => "subscriber killed",
            Self::StrangerHere => "stranger's transaction here",
            Self::StrangerElsewhere => "stranger's transaction elsewhere",
        }
    }
}
