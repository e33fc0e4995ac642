//! The identity of a command, which makes repeating it harmless.

use std::fmt;

use uuid::Uuid;

use crate::metadata::EventId;
use crate::stream::StreamId;
use crate::tenant::TenantId;

/// The identity of one command. The same command with the same id takes effect once, however often it is executed:
/// the ids of its events are derived from it, and a store records an id once.
///
/// A command that led to no events leaves no trace, and is decided again when it is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub Uuid);

impl CommandId {
    /// The id of the command that the caller knows as `key`, such as a request's idempotency key.
    ///
    /// ```
    /// use factum::CommandId;
    ///
    /// assert_eq!(CommandId::from_key("invoice 17, line 3"), CommandId::from_key("invoice 17, line 3"));
    /// assert_ne!(CommandId::from_key("invoice 17, line 3"), CommandId::from_key("invoice 17, line 4"));
    /// ```
    pub fn from_key(key: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, key.as_bytes()))
    }

    /// The same command of a tenant: what two tenants call alike is not one command. A repository asks for it, by the
    /// [tenant](crate::EventStore::tenant) of its store.
    pub fn of(self, tenant: Option<&TenantId>) -> Self {
        tenant.map_or(self, |tenant| Self(Uuid::new_v5(&self.0, format!("tenant {tenant}").as_bytes())))
    }

    /// The id of the command's event number `index`, counted from 0, on `stream`.
    pub fn event_id(self, stream: &StreamId, index: usize) -> EventId {
        EventId(Uuid::new_v5(&self.0, format!("{index} {stream}").as_bytes()))
    }

    /// The id of the event number `index`, counted from 0, of a decision: which stream it is for is decided by then.
    pub fn decided_event_id(self, index: usize) -> EventId {
        EventId(Uuid::new_v5(&self.0, format!("decision {index}").as_bytes()))
    }
}

/// Keeps keys apart from names that others have made version 5 UUIDs of: `Uuid::new_v5` of the URL namespace and
/// `https://docs.rs/factum#command`. Never changes.
const NAMESPACE: Uuid = Uuid::from_u128(0x2c1b_9a5e_6f0d_5f43_9d2a_71e0_84c6_b35d);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandId({})", self.0)
    }
}
