//! Given events of any streams, when a decision is made, then these events follow.

use std::fmt::Debug;

use chrono::Utc;

use super::handler::record;
use crate::decision::{Decision, Records, Views};
use crate::envelope::RecordedEvent;
use crate::event::Event;
use crate::metadata::Metadata;
use crate::stream::{Position, StreamId};

/// The past, about to be decided on. Which of it the decision sees, its own queries say, as they do in a store.
///
/// ```
/// # use factum::{Apply, Decision, Event, Records, Select, View};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// # #[event(name = "account.registered")]
/// # struct Registered { account: u32, #[event(tag)] email: String }
/// # #[derive(View, Default)]
/// # #[view(event = Registered)]
/// # struct IsTaken(bool);
/// # impl Apply<Registered> for IsTaken { fn apply(&mut self, _: Registered) { self.0 = true; } }
/// # struct Register { account: u32, email: String }
/// # #[derive(Debug, PartialEq)]
/// # enum RegisterError { Taken }
/// # impl Decision for Register {
/// #     type Views = IsTaken;
/// #     type Event = Registered;
/// #     type Error = RegisterError;
/// #     fn views(&self) -> Select<IsTaken> { Select::tagged("email", &self.email) }
/// #     fn decide(&self, is_taken: &IsTaken) -> Result<Records<Registered>, RegisterError> {
/// #         if is_taken.0 { return Err(RegisterError::Taken); }
/// #         let event = Registered { account: self.account, email: self.email.clone() };
/// #         Ok(Records::one("account", &self.account, event))
/// #     }
/// # }
/// use factum::testing::DecisionScenario;
///
/// let registered = |account, email: &str| Registered { account, email: email.into() };
/// let register = |account, email: &str| Register { account, email: email.into() };
///
/// DecisionScenario::new()
///     .given(registered(1, "ada@example.org"))
///     .when(register(2, "bob@example.org"))
///     .then(Records::one("account", &2, registered(2, "bob@example.org")));
///
/// DecisionScenario::new()
///     .given(registered(1, "ada@example.org"))
///     .when(register(2, "ada@example.org"))
///     .then_rejected(&RegisterError::Taken);
/// ```
#[derive(Debug, Default)]
pub struct DecisionScenario {
    past: Vec<RecordedEvent>,
}

impl DecisionScenario {
    /// Nothing has happened yet.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn new() -> Self {
        Self::default()
    }

    /// This has happened. In which stream it is kept does not matter to a decision.
    ///
    /// # Panics
    ///
    /// If it cannot be encoded.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn given<E: Event>(mut self, event: E) -> Self {
        let stream = StreamId::new("scenario", "past").expect("it is a name");
        let position = Position(self.past.len() as u64 + 1);
        self.past.push(record(&event, stream, position, Utc::now(), Metadata::default()));
        self
    }

    /// The decision is made.
    ///
    /// # Panics
    ///
    /// If what it asks for is no query, or an event of it cannot be read.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a decision is written where it is given")]
    pub fn when<D: Decision>(self, decision: D) -> Decided<D> {
        let selects = decision.views();
        let query = D::Views::query(&selects).expect("every tag is a name");
        query.check().expect("a store can be asked it");
        let mut views = D::Views::default();
        for event in self.past.iter().filter(|event| query.matches(&event.name, &event.metadata.tags)) {
            views.fold(&selects, event).expect("what was given can be read");
        }
        let outcome = decision.decide(&views);
        Decided { views, outcome }
    }
}

/// What a decision came to.
pub struct Decided<D: Decision> {
    views: D::Views,
    outcome: Result<Records<D::Event>, D::Error>,
}

impl<D> Decided<D>
where
    D: Decision,
    D::Event: Debug + PartialEq,
    D::Error: Debug,
{
    /// Then just this is recorded, in these streams and in this order.
    ///
    /// # Panics
    ///
    /// If something else is, or the decision is rejected.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "what is recorded is written where it is expected")]
    pub fn then(self, records: Records<D::Event>) -> Self {
        match &self.outcome {
            Ok(actual) => assert_eq!(*actual, records, "the decision records something else"),
            Err(error) => panic!("the decision was rejected: {error:?}"),
        }
        self
    }

    /// Then nothing is recorded.
    ///
    /// # Panics
    ///
    /// If something is, or the decision is rejected.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then(Records::none())
    }

    /// Then the domain says no.
    ///
    /// # Panics
    ///
    /// If it says something else.
    #[track_caller]
    pub fn then_rejected(self, error: &D::Error)
    where
        D::Error: PartialEq,
    {
        match &self.outcome {
            Ok(records) => panic!("the decision was not rejected, it records {records:?}"),
            Err(actual) => assert_eq!(actual, error, "the decision was rejected for another reason"),
        }
    }

    /// And this is what it has looked at.
    ///
    /// # Panics
    ///
    /// If `check` does.
    pub fn and_views(self, check: impl FnOnce(&D::Views)) -> Self {
        check(&self.views);
        self
    }
}

impl<D> Debug for Decided<D>
where
    D: Decision,
    D::Event: Debug,
    D::Error: Debug,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decided").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
