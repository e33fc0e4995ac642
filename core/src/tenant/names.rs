//! What things are called among all tenants, and by one of them: `outer` and `inner` names.

use std::collections::BTreeSet;

use super::TenantId;
use crate::checkpoint::Advance;
use crate::dead_letter::{DeadLetter, NewDeadLetter};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, Invalid, StoreError, StoreErrorKind};
use crate::lease::Lease;
use crate::name::InvalidName;
use crate::partition::Partition;
use crate::query::{EventQuery, QueryItem};
use crate::store::{Append, Condition, Filter};
use crate::stream::StreamId;
use crate::tag::Tag;
use crate::timer::Timer;

impl TenantId {
    pub(super) fn outer_append(&self, append: Append) -> Result<Append, InvalidName> {
        let condition = append.condition().map(|condition| self.outer_condition(condition)).transpose()?;
        let mut outer: Option<Append> = None;
        for part in append.into_streams() {
            let mut events = part.events;
            for event in &mut events {
                event.metadata.tags = self.outer_tags(&event.metadata.tags)?;
            }
            let stream = self.stream(&part.stream)?;
            outer = Some(match outer {
                None => Append::to(stream, part.expected, events),
                Some(append) => append.and(stream, part.expected, events),
            });
        }
        let outer = outer.unwrap_or_else(Append::nothing);
        Ok(match condition {
            None => outer,
            Some(condition) => outer.only_if(condition),
        })
    }

    fn outer_condition(&self, condition: &Condition) -> Result<Condition, InvalidName> {
        let Condition { query, after, seen } = condition;
        Ok(Condition { query: self.outer_query(query)?, after: *after, seen: seen.clone() })
    }

    pub(super) fn outer_query(&self, query: &EventQuery) -> Result<EventQuery, InvalidName> {
        let mut outer = EventQuery::none();
        for item in query.items() {
            let tags = item.tags.iter().map(|tag| self.outer_tag(tag)).collect::<Result<_, _>>()?;
            outer.add(QueryItem { names: item.names.clone(), tags });
        }
        Ok(outer.within(self.or_inner(query.tenant())))
    }

    pub(super) fn outer_filter(&self, filter: Filter) -> Result<Filter, InvalidName> {
        Ok(Filter {
            tenant: Some(self.or_inner(filter.tenant.as_ref())),
            categories: filter.categories.iter().map(|category| self.outer(category)).collect(),
            streams: filter.streams.iter().map(|stream| self.stream(stream)).collect::<Result<_, _>>()?,
            ..filter
        })
    }

    /// The tenant, or the one of its own that is meant.
    fn or_inner(&self, inner: Option<&Self>) -> Self {
        inner.map_or_else(|| self.clone(), |inner| self.with_inner(inner))
    }

    pub(super) fn outer_tags(&self, tags: &BTreeSet<Tag>) -> Result<BTreeSet<Tag>, InvalidName> {
        tags.iter().map(|tag| self.outer_tag(tag)).collect()
    }

    pub(crate) fn outer_tag(&self, tag: &Tag) -> Result<Tag, InvalidName> {
        Tag::new(self.outer(tag.as_str()))
    }

    pub(super) fn outer_partition(&self, partition: &Partition) -> Partition {
        partition.of_subscription(&self.outer(partition.subscription()))
    }

    pub(super) fn outer_step(&self, mut step: Advance) -> Result<Advance, InvalidName> {
        step.partition = self.outer_partition(&step.partition);
        for NewDeadLetter { event, .. } in &mut step.parked {
            event.stream = self.stream(&event.stream)?;
        }
        Ok(step)
    }

    pub(super) fn outer_timer(&self, mut timer: Timer) -> Timer {
        timer.process = self.outer(&timer.process);
        timer
    }

    pub(super) fn inner_timer(&self, mut timer: Timer) -> Result<Timer, StoreError> {
        timer.process = self.own(&timer.process)?.to_owned();
        Ok(timer)
    }

    pub(super) fn inner_lease(&self, mut lease: Lease) -> Result<Lease, StoreError> {
        let subscription = self.own(lease.partition.subscription())?;
        lease.partition = lease.partition.of_subscription(subscription);
        Ok(lease)
    }

    pub(super) fn inner_letter(&self, mut letter: DeadLetter) -> Result<DeadLetter, StoreError> {
        letter.subscription = self.own(&letter.subscription)?.to_owned();
        letter.letter.event.stream = self.inner_stream(&letter.letter.event.stream)?;
        Ok(letter)
    }

    pub(super) fn inner_stream(&self, stream: &StreamId) -> Result<StreamId, StoreError> {
        StreamId::new(self.own(stream.category())?, stream.id()).map_err(|error| foreign(error.to_string()))
    }

    /// Events that the store has given as the tenant's. Another's are refused, whatever the store has made of the question.
    pub(super) fn inner_events(&self, events: &mut [RecordedEvent]) -> Result<(), StoreError> {
        // Most events follow others of their stream.
        let mut last: Option<(StreamId, StreamId)> = None;
        for event in events {
            let inner = match last {
                Some((outer, inner)) if outer == event.stream => inner,
                _ => self.inner_stream(&event.stream)?,
            };
            last = Some((std::mem::replace(&mut event.stream, inner.clone()), inner));
            let tags = &event.metadata.tags;
            if !tags.is_empty() {
                // By those that are not its own nothing is found here: somebody has given them to the event who works on all tenants.
                let own = tags.iter().filter_map(|tag| Tag::new(self.inner(tag.as_str())?).ok());
                event.metadata.tags = own.collect();
            }
        }
        Ok(())
    }

    /// What the tenant is told of an append that did not happen.
    pub(super) fn inner_error(&self, mut error: AppendError) -> AppendError {
        let inner = |stream: &mut StreamId| self.inner_stream(stream).map(|own| *stream = own);
        let told = match &mut error {
            AppendError::Conflict(conflict) => inner(&mut conflict.stream),
            AppendError::IdReused(reused) => {
                if inner(&mut reused.recorded_stream).is_err() {
                    return Invalid::IdTaken { id: reused.id }.into();
                }
                inner(&mut reused.stream)
            }
            AppendError::Closed(closed) => inner(&mut closed.stream),
            AppendError::Invalid(Invalid::StreamTwice { stream } | Invalid::VersionOverflow { stream }) => {
                inner(stream)
            }
            AppendError::Invalid(_) | AppendError::Overtaken(_) | AppendError::Store(_) => Ok(()),
        };
        told.map_or_else(AppendError::Store, |()| error)
    }

    /// The tenant's own name of something that the store has given as its own.
    fn own<'n>(&self, name: &'n str) -> Result<&'n str, StoreError> {
        self.inner(name).ok_or_else(|| foreign(format!("something of {self} is called {name:?}")))
    }
}

/// The store has given something that is another tenant's, or nobody's.
fn foreign(text: String) -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, "read", text)
}

/// A name that nothing can have in the store.
pub(super) fn unknown(error: InvalidName) -> StoreError {
    StoreError::because(StoreErrorKind::Other, "name", error)
}
