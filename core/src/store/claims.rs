//! Claims: how appends, and conditions that ask about them, take turns in a store that has several writers.
//!
//! A condition says that nothing like its query was recorded. That stays true until the commit only if nobody writes such an
//! event meanwhile, so both claim what the event could be found by. Those who write share a claim; a condition has it to
//! itself. What two appends have no claim in common for does not concern either, and they do not wait for each other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::{Append, Condition};
use crate::partition::hash;

/// What an append, or a group of them, claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Each key, and whether it is claimed exclusively.
    keys: BTreeMap<i32, bool>,
    /// Whether everything is claimed: by a condition that asks about all events.
    everything: bool,
}

impl Claims {
    /// The claims of an append: shared ones for the names and tags of its events, exclusive ones for its condition.
    pub fn of(append: &Append) -> Self {
        let mut claims = Self::default();
        for event in append.events() {
            claims.share("name", event.name.as_str());
            event.metadata.tags.iter().for_each(|tag| claims.share("tag", tag.as_str()));
        }
        append.condition().iter().for_each(|condition| claims.add_condition(condition));
        claims
    }

    /// An event that an item finds has all of its tags, so one of these is enough to meet whoever writes it.
    fn add_condition(&mut self, condition: &Condition) {
        for item in condition.query.items() {
            match (item.tags.first(), &item.names[..]) {
                (Some(tag), _) => self.take("tag", tag.as_str()),
                (None, []) => self.everything = true,
                (None, names) => names.iter().for_each(|name| self.take("name", name.as_str())),
            }
        }
    }

    /// And these.
    pub fn join(&mut self, others: &Self) {
        self.everything |= others.everything;
        for (&key, &is_exclusive) in &others.keys {
            *self.keys.entry(key).or_default() |= is_exclusive;
        }
    }

    /// Whether the two have to take turns.
    pub fn exclude(&self, others: &Self) -> bool {
        let mut common = self.keys.iter().filter_map(|(key, mine)| Some((mine, others.keys.get(key)?)));
        let all = (self.everything && !others.is_empty()) || (others.everything && !self.is_empty());
        all || common.any(|(&mine, &theirs)| mine || theirs)
    }

    /// Whether everything is claimed.
    pub const fn has_everything(&self) -> bool {
        self.everything
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is claimed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.everything
    }

    /// The keys, in ascending order, each with whether it is claimed exclusively. Two names or tags may have one key: then they
    /// take turns in vain.
    pub fn keys(&self) -> impl Iterator<Item = (i32, bool)> {
        self.keys.iter().map(|(&key, &is_exclusive)| (key, is_exclusive))
    }

    fn share(&mut self, kind: &str, text: &str) {
        self.keys.entry(key(kind, text)).or_default();
    }

    fn take(&mut self, kind: &str, text: &str) {
        self.keys.insert(key(kind, text), true);
    }
}

/// What many appends claim, each of which may go.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// For each key how many claim it, and how many of these exclusively.
    keys: HashMap<i32, (usize, usize)>,
    /// How many there are, and how many of these claim everything.
    appends: usize,
    everything: usize,
}

impl Tally {
    /// Whether one that makes these claims has to wait.
    pub(super) fn excludes(&self, claims: &Claims) -> bool {
        let is_taken = |(key, is_exclusive): (&i32, &bool)| {
            self.keys.get(key).is_some_and(|&(all, exclusive)| exclusive > 0 || (*is_exclusive && all > 0))
        };
        self.everything > 0 || (claims.everything && self.appends > 0) || claims.keys.iter().any(is_taken)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.appends == 0 && self.everything == 0
    }

    pub(super) fn add(&mut self, claims: &Claims) {
        self.appends += 1;
        self.everything += usize::from(claims.everything);
        for (&key, &is_exclusive) in &claims.keys {
            let (all, exclusive) = self.keys.entry(key).or_default();
            *all += 1;
            *exclusive += usize::from(is_exclusive);
        }
    }

    /// What was added before.
    pub(super) fn remove(&mut self, claims: &Claims) {
        self.appends -= 1;
        self.everything -= usize::from(claims.everything);
        for (&key, &is_exclusive) in &claims.keys {
            let Entry::Occupied(mut entry) = self.keys.entry(key) else { continue };
            let (all, exclusive) = entry.get_mut();
            *all -= 1;
            *exclusive -= usize::from(is_exclusive);
            if *all == 0 {
                entry.remove();
            }
        }
    }
}

/// Programs of several versions take turns with each other: it never changes.
fn key(kind: &str, text: &str) -> i32 {
    let [a, b, c, d, ..] = hash([kind, ":", text]).to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{EventQuery, QueryItem};
    use crate::{EventId, EventName, Expected, Metadata, NewEvent, StreamId, Tag};

    fn tag(text: &str) -> Tag {
        Tag::new(text).expect("a tag")
    }

    fn name(name: &'static str) -> EventName {
        EventName::new(name).expect("a name")
    }

    /// An append of one event.
    fn writing(name_of: &'static str, tags: &[&str]) -> Append {
        let event = NewEvent {
            id: EventId::new(),
            name: name(name_of),
            schema_version: 1,
            codec: "json".into(),
            payload: "{}".into(),
            metadata: Metadata { tags: tags.iter().map(|text| tag(text)).collect(), ..Metadata::default() },
        };
        Append::to(StreamId::new("s", "1").expect("a stream"), Expected::Any, vec![event])
    }

    fn asking(query: EventQuery) -> Claims {
        Claims::of(&writing("asked", &[]).only_if(Condition::nothing_matches(query)))
    }

    #[test]
    fn a_condition_takes_turns_with_whoever_writes_what_it_asks_about() {
        let mut item = QueryItem::tagged(tag("a")).and(tag("b"));
        item.names = vec![name("x")];
        for query in [item, QueryItem::named(name("x")), QueryItem::tagged(tag("b")), QueryItem::default()] {
            let writing = Claims::of(&writing("x", &["b", "a", "c"]));
            let asking = asking(EventQuery::of(query));
            assert!(writing.exclude(&asking) && asking.exclude(&writing));
        }
    }

    #[test]
    fn what_does_not_concern_each_other_does_not_wait() {
        let one = Claims::of(&writing("x", &["a", "b"]));
        assert!(!one.exclude(&Claims::of(&writing("x", &["a", "b"]))), "writers share");
        assert!(!one.exclude(&asking(EventQuery::of(QueryItem::tagged(tag("c"))))));
        assert!(!one.exclude(&asking(EventQuery::of(QueryItem::named(name("y"))))));
        // A name is no tag.
        assert!(!one.exclude(&asking(EventQuery::of(QueryItem::named(name("a"))))));
        assert!(!one.exclude(&asking(EventQuery::none())));
        let (all, nothing) = (asking(EventQuery::all()), Claims::default());
        assert!(!all.exclude(&nothing) && !nothing.exclude(&all));
    }

    #[test]
    fn a_group_claims_what_its_appends_claim() {
        let mut group = Claims::of(&writing("x", &["a"]));
        group.join(&asking(EventQuery::of(QueryItem::tagged(tag("b")))));
        assert!(group.exclude(&Claims::of(&writing("y", &["b"]))));
        assert!(!group.exclude(&Claims::of(&writing("y", &["a"]))));
        // Shared and exclusive is exclusive.
        group.join(&asking(EventQuery::of(QueryItem::tagged(tag("a")))));
        assert!(group.exclude(&Claims::of(&writing("y", &["a"]))));
        assert!(group.keys().is_sorted());
    }

    #[test]
    fn a_tally_excludes_what_one_of_its_claims_excludes() {
        let all: Vec<Claims> = vec![
            Claims::of(&writing("x", &["a"])),
            Claims::of(&writing("x", &["b"])),
            asking(EventQuery::of(QueryItem::tagged(tag("a")))),
            asking(EventQuery::of(QueryItem::named(name("x")))),
            asking(EventQuery::all()),
        ];
        for in_it in 0..1_u32 << all.len() {
            let is_in = |at: usize| in_it >> at & 1 == 1;
            let mut tally = Tally::default();
            for claims in &all {
                tally.add(claims);
            }
            (0..all.len()).filter(|&at| !is_in(at)).for_each(|at| tally.remove(&all[at]));
            for claims in &all {
                let excludes = (0..all.len()).filter(|&at| is_in(at)).any(|at| all[at].exclude(claims));
                assert_eq!(tally.excludes(claims), excludes, "{claims:?} of {in_it:b}");
            }
        }
    }

    #[test]
    fn a_key_stays_what_it_is() {
        assert_eq!([key("tag", "course:1"), key("name", "order.placed")], [568_988_094, 1_191_111_130]);
    }
}
