//! The file that is committed: the shapes as they are, and payloads of all times.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is frozen. All of it is sorted, so that two branches that add something merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    /// For whoever opens the file.
    #[serde(rename = "//")]
    pub(super) note: String,
    /// The events of today, by name.
    pub(super) events: BTreeMap<String, Shape>,
    /// The names that are passed over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) dropped: BTreeSet<String>,
    /// Stored payloads, by the name and the version under which they were stored. They stay for ever.
    pub(super) samples: BTreeMap<String, BTreeMap<u32, Vec<Sample>>>,
}

/// What an event looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) version: u32,
    /// The names that are read and no longer written.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) aliases: BTreeSet<String>,
    /// The names of events of which it is a part.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) split_from: BTreeSet<String>,
    /// The keys of its tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) tags: BTreeSet<String>,
    /// What is read as this event, see [`shape`](super::shape).
    pub(super) schema: Value,
}

/// A stored payload, and what it is read as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    pub(super) stored: Value,
    /// By the names of the events of today; none, if the event is dropped.
    pub(super) today: Vec<Told>,
}

/// An event of today.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    pub(super) event: String,
    pub(super) payload: Value,
}

/// Says what the file is. A JSON file has no comments.
pub(super) const NOTE: &str = "The shapes of stored events. A test writes this file when it is asked to; nobody edits it. What is \
                               under samples is never removed.";

impl Lock {
    pub(super) fn empty() -> Self {
        Self {
            note: NOTE.to_owned(),
            events: BTreeMap::new(),
            dropped: BTreeSet::new(),
            samples: BTreeMap::new(),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(super) fn text(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("values, texts and numbers have a JSON form");
        text.push('\n');
        text
    }
}
