//! Queries: which events a decision depends on, over all streams.

use std::collections::BTreeSet;

use crate::envelope::RecordedEvent;
use crate::error::Invalid;
use crate::event::EventName;
use crate::tag::Tag;
use crate::tenant::TenantId;

/// How many items, names and tags a query may have in all. More would be a list, which belongs in an index of its own.
const PARTS_MAX: usize = 1000;

/// Which events, whatever their streams: those that match at least one of its items.
///
/// Its meaning is that of a query in the specification of dynamic consistency boundaries (<https://dcb.events>).
///
/// ```
/// # use factum::{EventName, EventQuery, QueryItem, Tag};
/// let of_course = QueryItem::tagged(Tag::new("course:42")?);
/// let defined = QueryItem::named(EventName::new("student.registered")?).and(Tag::new("student:7")?);
/// let query = EventQuery::of(of_course).or(defined);
///
/// let subscribed = EventName::new("student.subscribed")?;
/// assert!(query.matches(&subscribed, &[Tag::new("course:42")?, Tag::new("student:7")?].into()));
/// assert!(!query.matches(&subscribed, &[Tag::new("student:7")?].into()));
/// # Ok::<(), factum::InvalidName>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    items: Vec<QueryItem>,
    tenant: Option<TenantId>,
}

/// Events that have one of its names and all of its tags. Without names every name matches.
///
/// What has a tag is found by an index, however long the log is. An item without tags is found by reading the log from where the
/// question begins: a condition on what came since a read is cheap all the same, and a read of everything takes as long as the log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryItem {
    /// One of these; any, if there are none.
    pub names: Vec<EventName>,
    /// All of these. Appends and decisions that are about the first of them wait for each other, for as long as it takes to
    /// commit: so the one that the fewest events have had better be the first.
    pub tags: Vec<Tag>,
}

impl EventQuery {
    /// No events.
    pub const fn none() -> Self {
        Self { items: Vec::new(), tenant: None }
    }

    /// All events of the store.
    pub fn all() -> Self {
        Self::of(QueryItem::default())
    }

    /// The events that match `item`.
    pub fn of(item: QueryItem) -> Self {
        Self { items: vec![item], tenant: None }
    }

    /// Of an item without tags only the events in streams of `tenant`. The tags of a tenant are its own, so an item that has some
    /// finds no others anyway. [`Tenant`](crate::tenant::Tenant) asks with it.
    pub(crate) fn within(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// In whose streams events are that match an item without tags; in any, if that is nobody.
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// And those that match this `item`.
    pub fn or(mut self, item: QueryItem) -> Self {
        self.add(item);
        self
    }

    /// And those that match this item, unless there is one like it.
    pub(crate) fn add(&mut self, item: QueryItem) {
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }

    /// The items, of which an event matches at least one.
    pub fn items(&self) -> &[QueryItem] {
        &self.items
    }

    /// Whether an event of the log is one of them.
    pub fn finds(&self, event: &RecordedEvent) -> bool {
        let is_in_reach = |item: &QueryItem| {
            !item.tags.is_empty() || self.tenant.as_ref().is_none_or(|tenant| tenant.has(&event.stream))
        };
        let mut items = self.items.iter();
        items.any(|item| is_in_reach(item) && item.matches(&event.name, &event.metadata.tags))
    }

    /// Whether an event with this name and these tags is one of them, if its stream is.
    pub fn matches(&self, name: &EventName, tags: &BTreeSet<Tag>) -> bool {
        self.items.iter().any(|item| item.matches(name, tags))
    }

    /// The form in which stores hand it to their databases: an array of objects with `names` and `tags`; and, in those without tags, if
    /// there is a tenant, [`tenant`](TenantId::outermost) and [`prefix`](TenantId::prefix).
    pub fn to_json(&self) -> serde_json::Value {
        let item = |item: &QueryItem| {
            let names: Vec<_> = item.names.iter().map(EventName::as_str).collect();
            let tags: Vec<_> = item.tags.iter().map(Tag::as_str).collect();
            let mut json = serde_json::json!({ "names": names, "tags": tags });
            if let Some(tenant) = self.tenant.as_ref().filter(|_| tags.is_empty()) {
                json["tenant"] = tenant.outermost().into();
                json["prefix"] = tenant.prefix().into();
            }
            json
        };
        self.items.iter().map(item).collect()
    }

    /// Refuses a query that no store is asked. Stores call it before they look.
    ///
    /// # Errors
    ///
    /// [`Invalid::QueryTooLarge`] if it has more than 1,000 items, names and tags.
    pub fn check(&self) -> Result<(), Invalid> {
        let of_item = |item: &QueryItem| 1 + item.names.len() + item.tags.len();
        let parts = self.items.iter().map(of_item).sum();
        if parts > PARTS_MAX {
            return Err(Invalid::QueryTooLarge { parts, parts_max: PARTS_MAX });
        }
        Ok(())
    }
}

impl QueryItem {
    /// Events of this name.
    pub fn named(name: EventName) -> Self {
        Self { names: vec![name], tags: Vec::new() }
    }

    /// Events with this tag.
    pub fn tagged(tag: Tag) -> Self {
        Self { names: Vec::new(), tags: vec![tag] }
    }

    /// Only those that have this tag, too.
    pub fn and(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    fn matches(&self, name: &EventName, tags: &BTreeSet<Tag>) -> bool {
        (self.names.is_empty() || self.names.contains(name)) && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &'static str) -> EventName {
        EventName::new(name).expect("a name")
    }

    fn tags<const N: usize>(texts: [&str; N]) -> BTreeSet<Tag> {
        texts.into_iter().map(|text| Tag::new(text).expect("a tag")).collect()
    }

    #[test]
    fn an_event_matches_one_of_the_names_and_all_of_the_tags_of_one_item() {
        let mut item = QueryItem::tagged(Tag::new("a").expect("a tag")).and(Tag::new("b").expect("a tag"));
        item.names = vec![name("x"), name("y")];
        let query = EventQuery::of(item).or(QueryItem::named(name("z")));
        assert!(query.matches(&name("y"), &tags(["b", "c", "a"])));
        assert!(!query.matches(&name("y"), &tags(["a"])), "one tag is missing");
        assert!(!query.matches(&name("w"), &tags(["a", "b"])), "it has another name");
        assert!(query.matches(&name("z"), &tags([])));
    }

    #[test]
    fn a_query_without_items_finds_nothing_and_one_without_conditions_finds_all() {
        assert!(!EventQuery::none().matches(&name("x"), &tags(["a"])));
        assert!(EventQuery::all().matches(&name("x"), &tags([])));
    }

    #[test]
    fn a_query_that_is_a_list_is_refused() {
        let mut query = EventQuery::none();
        (0..500).for_each(|n| query.add(QueryItem::tagged(Tag::of("n", &n).expect("a tag"))));
        assert!(query.check().is_ok());
        query.add(QueryItem::tagged(Tag::new("one").expect("a tag")));
        assert!(matches!(query.check(), Err(Invalid::QueryTooLarge { parts: 1002, parts_max: 1000 })));
    }
}
