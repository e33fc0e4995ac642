//! Given events, when a command comes, then these events follow.

use std::fmt::Debug;

use chrono::DateTime;

use super::handler::record_stored;
use crate::aggregate::{Aggregate, Events, Handle};
use crate::event::{Event, Route};
use crate::stream::{Position, StreamId};

/// The past of an aggregate, about to be given a command.
///
/// ```
/// # use factum::{Aggregate, Apply, Event, Events, Handle};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "account.opened")]
/// # struct Opened { owner: String }
/// # #[derive(Event, Clone, Debug, PartialEq)]
/// # enum AccountEvent { Opened(Opened) }
/// # #[derive(Aggregate, Default, Debug)]
/// # #[aggregate(category = "account", id = String, event = AccountEvent)]
/// # struct Account { is_open: bool }
/// # impl Apply<Opened> for Account { fn apply(&mut self, _: Opened) { self.is_open = true; } }
/// # struct Open { owner: String }
/// # #[derive(Debug, PartialEq)]
/// # enum AccountError { AlreadyOpen }
/// # impl Handle<Open> for Account {
/// #     type Error = AccountError;
/// #     fn handle(&self, command: &Open) -> Result<Events<AccountEvent>, AccountError> {
/// #         if self.is_open { return Err(AccountError::AlreadyOpen); }
/// #         Ok(Events::one(Opened { owner: command.owner.clone() }))
/// #     }
/// # }
/// use factum::testing::Scenario;
///
/// let ada = || "Ada".to_owned();
///
/// Scenario::<Account>::new().when(Open { owner: ada() }).then(Opened { owner: ada() });
///
/// Scenario::<Account>::new()
///     .given(Opened { owner: ada() })
///     .when(Open { owner: ada() })
///     .then_rejected(&AccountError::AlreadyOpen);
/// ```
#[derive(Debug, Default)]
pub struct Scenario<A> {
    aggregate: A,
}

impl<A: Aggregate> Scenario<A> {
    /// Nothing has happened yet.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn new() -> Self {
        Self { aggregate: A::default() }
    }

    /// This has happened.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn given(mut self, event: impl Into<A::Event>) -> Self {
        event.into().route(&mut self.aggregate);
        self
    }

    /// This was stored, under this name in this version of its shape: as a program of long ago has written it. It may be
    /// several events today, or none.
    ///
    /// # Panics
    ///
    /// If it cannot be read today.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn given_stored(
        mut self,
        name: &'static str,
        schema_version: u32,
        payload: serde_json::Value,
    ) -> Self {
        let stream = StreamId::new(A::CATEGORY, "of the scenario").expect("the category is a name");
        let recorded =
            record_stored(name, schema_version, &payload, stream, Position(1), DateTime::UNIX_EPOCH);
        match A::Event::decode_all(&recorded) {
            Ok(events) => events.into_iter().for_each(|event| event.route(&mut self.aggregate)),
            Err(error) => panic!("the event cannot be read: {error}"),
        }
        self
    }

    /// The command comes.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[expect(clippy::needless_pass_by_value, reason = "a command is written where it is given")]
    pub fn when<C>(self, command: C) -> When<A, A::Error>
    where
        A: Handle<C>,
    {
        let outcome = self.aggregate.handle(&command);
        When { aggregate: self.aggregate, outcome }
    }

    /// Checks the state itself.
    ///
    /// # Panics
    ///
    /// If `check` does.
    pub fn then_state(self, check: impl FnOnce(&A)) {
        check(&self.aggregate);
    }
}

/// What a command led to.
#[derive(Debug)]
pub struct When<A: Aggregate, E> {
    aggregate: A,
    outcome: Result<Events<A::Event>, E>,
}

impl<A, E> When<A, E>
where
    A: Aggregate,
    A::Event: Debug + PartialEq,
    E: Debug,
{
    /// Then just this happens.
    ///
    /// # Panics
    ///
    /// If something else happens, or the command is rejected.
    #[track_caller]
    pub fn then(self, event: impl Into<A::Event>) -> Self
    where
        A::Event: Clone,
    {
        self.then_all(Events::one(event))
    }

    /// Then just these happen, in this order.
    ///
    /// # Panics
    ///
    /// If something else happens, or the command is rejected.
    #[track_caller]
    pub fn then_all(mut self, events: impl Into<Events<A::Event>>) -> Self
    where
        A::Event: Clone,
    {
        let expected = events.into();
        match &self.outcome {
            Ok(actual) => assert_eq!(*actual, expected, "the command led to other events"),
            Err(error) => panic!("the command was rejected: {error:?}"),
        }
        for event in expected.clone() {
            event.route(&mut self.aggregate);
        }
        // The events are in the state now, so a later `then` cannot take them for new ones.
        self.outcome = Ok(expected);
        self
    }

    /// Then nothing happens.
    ///
    /// # Panics
    ///
    /// If something happens, or the command is rejected.
    #[track_caller]
    pub fn then_nothing(self) -> Self
    where
        A::Event: Clone,
    {
        self.then_all(Events::none())
    }

    /// Then the domain says no.
    ///
    /// # Panics
    ///
    /// If it says something else.
    #[track_caller]
    pub fn then_rejected(self, error: &E)
    where
        E: PartialEq,
    {
        match &self.outcome {
            Ok(events) => panic!("the command was not rejected, it led to {events:?}"),
            Err(actual) => assert_eq!(actual, error, "the command was rejected for another reason"),
        }
    }

    /// And then the state is like this.
    ///
    /// # Panics
    ///
    /// If `check` does.
    pub fn and_state(self, check: impl FnOnce(&A)) {
        check(&self.aggregate);
    }
}
