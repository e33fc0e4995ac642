//! Decisions across streams, with the examples of the specification (<https://dcb.events/examples>).

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factum::memory::MemoryStore;
use factum::store::{Append, ReadStream};
use factum::testing::DecisionScenario;
use factum::{
    Aggregate, Apply, CommandId, Decision, Decisions, Event, EventStore, Events, ExecuteError, Expected,
    Handle, Invalid, NewEvent, Records, Repository, Select, StreamId, Tag, Version, View,
};
use serde::{Deserialize, Serialize};

use crate::slow::Slow;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "course.defined")]
struct CourseDefined {
    #[event(tag)]
    course: u32,
    seats: u32,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "course.seats_changed")]
struct SeatsChanged {
    #[event(tag)]
    course: u32,
    seats: u32,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "student.subscribed")]
struct Subscribed {
    #[event(tag)]
    course: u32,
    #[event(tag)]
    student: u32,
}

#[derive(Event, Clone, Debug, PartialEq)]
enum CourseEvent {
    Defined(CourseDefined),
    SeatsChanged(SeatsChanged),
    Subscribed(Subscribed),
}

/// A course, as far as whoever subscribes is concerned.
#[derive(View, Default, Debug, PartialEq)]
#[view(event = CourseEvent)]
struct Seats {
    of: Option<u32>,
    taken: u32,
}

impl Apply<CourseDefined> for Seats {
    fn apply(&mut self, event: CourseDefined) {
        self.of = Some(event.seats);
    }
}

impl Apply<SeatsChanged> for Seats {
    fn apply(&mut self, event: SeatsChanged) {
        self.of = Some(event.seats);
    }
}

impl Apply<Subscribed> for Seats {
    fn apply(&mut self, _: Subscribed) {
        self.taken += 1;
    }
}

#[derive(View, Default, Debug, PartialEq)]
#[view(event = Subscribed)]
struct Subscriptions {
    courses: Vec<u32>,
}

impl Apply<Subscribed> for Subscriptions {
    fn apply(&mut self, event: Subscribed) {
        self.courses.push(event.course);
    }
}

struct Subscribe {
    course: u32,
    student: u32,
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum SubscribeError {
    #[error("there is no such course")]
    NoCourse,
    #[error("the course is full")]
    Full,
    #[error("no more than three courses")]
    TooMany,
    #[error("subscribed already")]
    Already,
}

impl Decision for Subscribe {
    type Views = (Seats, Subscriptions);
    type Event = Subscribed;
    type Error = SubscribeError;

    fn views(&self) -> (Select<Seats>, Select<Subscriptions>) {
        (Select::tagged("course", &self.course), Select::tagged("student", &self.student))
    }

    fn decide(&self, (seats, subscriptions): &Self::Views) -> Result<Records<Subscribed>, SubscribeError> {
        let Self { course, student } = *self;
        if seats.of.ok_or(SubscribeError::NoCourse)? <= seats.taken {
            return Err(SubscribeError::Full);
        }
        if subscriptions.courses.contains(&course) {
            return Err(SubscribeError::Already);
        }
        if subscriptions.courses.len() >= 3 {
            return Err(SubscribeError::TooMany);
        }
        Ok(Records::one("course", &course, Subscribed { course, student }))
    }
}

/// The course is an aggregate as well: its own rules are about its own stream.
#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "course", id = u32, event = CourseEvent)]
struct Course {
    seats: u32,
    taken: u32,
}

impl Apply<CourseDefined> for Course {
    fn apply(&mut self, event: CourseDefined) {
        self.seats = event.seats;
    }
}

impl Apply<SeatsChanged> for Course {
    fn apply(&mut self, event: SeatsChanged) {
        self.seats = event.seats;
    }
}

impl Apply<Subscribed> for Course {
    fn apply(&mut self, _: Subscribed) {
        self.taken += 1;
    }
}

struct Define {
    course: u32,
    seats: u32,
}

impl Handle<Define> for Course {
    type Error = &'static str;

    fn handle(&self, &Define { course, seats }: &Define) -> Result<Events<CourseEvent>, Self::Error> {
        if self.seats > 0 {
            Err("it is defined already")
        } else {
            Ok(Events::one(CourseDefined { course, seats }))
        }
    }
}

struct ChangeSeats {
    course: u32,
    seats: u32,
}

impl Handle<ChangeSeats> for Course {
    type Error = &'static str;

    fn handle(
        &self,
        &ChangeSeats { course, seats }: &ChangeSeats,
    ) -> Result<Events<CourseEvent>, Self::Error> {
        if seats < self.taken {
            return Err("there are more students than that");
        }
        Ok(Events::one(SeatsChanged { course, seats }))
    }
}

async fn course_of(store: &MemoryStore, course: u32, seats: u32) {
    let courses = Repository::<Course>::new(store.clone());
    courses.execute(&course, Define { course, seats }).await.expect("it is new");
}

#[test]
fn a_decision_is_tested_without_a_store() {
    let subscribed = |course, student| Subscribed { course, student };
    let past = || {
        DecisionScenario::new()
            .given(CourseDefined { course: 1, seats: 3 })
            .given(CourseDefined { course: 2, seats: 0 })
            .given(SeatsChanged { course: 1, seats: 2 })
            .given(subscribed(1, 7))
    };
    past()
        .when(Subscribe { course: 1, student: 8 })
        .then(Records::one("course", &1, subscribed(1, 8)))
        .and_views(|views| assert_eq!(views.0, Seats { of: Some(2), taken: 1 }));
    past().when(Subscribe { course: 3, student: 8 }).then_rejected(&SubscribeError::NoCourse);
    past().when(Subscribe { course: 2, student: 8 }).then_rejected(&SubscribeError::Full);
    past().when(Subscribe { course: 1, student: 7 }).then_rejected(&SubscribeError::Already);
    past()
        .given(subscribed(1, 8))
        .when(Subscribe { course: 1, student: 9 })
        .then_rejected(&SubscribeError::Full);
    past()
        .given(subscribed(4, 9))
        .given(subscribed(5, 9))
        .given(subscribed(6, 9))
        .when(Subscribe { course: 1, student: 9 })
        .then_rejected(&SubscribeError::TooMany);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_taken_once_however_many_want_them() {
    let store = MemoryStore::new();
    let decisions = Decisions::new(store.clone());
    for course in 1..=8 {
        course_of(&store, course, 5).await;
    }
    let mut running = Vec::new();
    for student in 0..16 {
        let decisions = decisions.clone();
        running.push(tokio::spawn(async move {
            let mut taken = 0;
            for course in 1..=8 {
                match decisions.execute(Subscribe { course, student }).attempts(100).await {
                    Ok(appended) => taken += u32::from(appended.is_some()),
                    Err(ExecuteError::Rejected(SubscribeError::Full | SubscribeError::TooMany)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            taken
        }));
    }
    let mut taken = 0;
    for student in running {
        let of_student = student.await.expect("no panic");
        assert!(of_student <= 3);
        taken += of_student;
    }
    // Eight courses with five seats each; sixteen students, three courses each.
    assert_eq!(taken, 40);
    for course in 1..=8 {
        let seats: Seats = decisions.look(&Select::tagged("course", &course)).await.expect("it can be read");
        assert_eq!(seats, Seats { of: Some(5), taken: 5 });
    }
}

#[tokio::test]
async fn aggregates_and_decisions_guard_the_same_events() {
    let store = MemoryStore::new();
    let (decisions, courses) = (Decisions::new(store.clone()), Repository::<Course>::new(store.clone()));
    course_of(&store, 1, 1).await;
    let before = courses.load(&1).await.expect("it is there");
    decisions.execute(Subscribe { course: 1, student: 7 }).await.expect("there is a seat");
    // The aggregate sees what the decision has recorded in its stream, and does not decide on what was before.
    let course = courses.load(&1).await.expect("it is there");
    assert_eq!((course.version(), course.taken), (Version(2), 1));
    let stale = courses.execute(&1, ChangeSeats { course: 1, seats: 0 }).starting_from(before).await;
    assert!(matches!(stale, Err(ExecuteError::Rejected("there are more students than that"))), "{stale:?}");
    // And the other way round.
    let full = decisions.execute(Subscribe { course: 1, student: 8 }).await;
    assert!(matches!(full, Err(ExecuteError::Rejected(SubscribeError::Full))), "{full:?}");
    courses.execute(&1, ChangeSeats { course: 1, seats: 2 }).await.expect("there are fewer students");
    decisions.execute(Subscribe { course: 1, student: 8 }).await.expect("there is a seat");
}

#[tokio::test]
async fn a_command_is_executed_once() {
    let store = MemoryStore::new();
    let decisions = Decisions::new(store.clone());
    course_of(&store, 1, 5).await;
    let id = CommandId::from_key("request 1");
    let first = decisions.execute(Subscribe { course: 1, student: 7 }).command_id(id).await;
    let first = first.expect("there is a seat").expect("it is recorded");
    decisions.execute(Subscribe { course: 1, student: 8 }).await.expect("there is a seat");
    // It would be rejected by now, since the student is subscribed.
    let again = decisions.execute(Subscribe { course: 1, student: 7 }).command_id(id).await;
    assert_eq!(again.expect("it is answered").expect("it was recorded"), first);
    let seats: Seats = decisions.look(&Select::tagged("course", &1)).await.expect("it can be read");
    assert_eq!(seats.taken, 2);
}

/// Whatever one of the two has done when the other one begins: it answers as the first did, and does not say no because of what the
/// command itself has recorded.
#[tokio::test]
async fn a_command_that_is_sent_twice_is_answered_as_the_first_was_whenever_it_comes() {
    for delay in 0..20 {
        let store = MemoryStore::new();
        course_of(&store, 1, 1).await;
        let decisions = Decisions::new(Slow::new(store));
        let id = CommandId::from_key("seven");
        let subscribe = || decisions.execute(Subscribe { course: 1, student: 7 }).command_id(id);
        let later = async {
            for _ in 0..delay {
                tokio::task::yield_now().await;
            }
            subscribe().await
        };
        let (first, second) = tokio::join!(subscribe().into_future(), later);
        let first = first.expect("there is a seat").expect("it is recorded");
        assert_eq!(second.expect("it is the same command"), Some(first), "{delay} steps later");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_sent_twice_at_once_is_executed_once() {
    for round in 0..50 {
        let store = MemoryStore::new();
        let decisions = Decisions::new(store.clone());
        course_of(&store, 1, 5).await;
        let id = CommandId::from_key(&format!("request {round}"));
        let mut running = Vec::new();
        for _ in 0..4 {
            let decisions = decisions.clone();
            running.push(tokio::spawn(async move {
                decisions.execute(Subscribe { course: 1, student: 7 }).command_id(id).attempts(10).await
            }));
        }
        let mut answers = Vec::new();
        for racer in running {
            let answer = racer.await.expect("no panic");
            answers.push(answer.expect("it is the same command").expect("it is recorded"));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        let seats: Seats = decisions.look(&Select::tagged("course", &1)).await.expect("it can be read");
        assert_eq!(seats.taken, 1);
    }
}

#[tokio::test]
async fn decisions_read_whatever_was_written() {
    let store = MemoryStore::new();
    course_of(&store, 1, 5).await;
    let packed = Decisions::new(store.clone()).codec(factum::Codec::MessagePack);
    packed.execute(Subscribe { course: 1, student: 7 }).await.expect("there is a seat");
    Decisions::new(store.clone())
        .execute(Subscribe { course: 1, student: 8 })
        .await
        .expect("there is a seat");
    let page = store.read_stream(ReadStream::new("course/1".parse().expect("a stream"))).await;
    let codecs: Vec<_> =
        page.expect("it can be read").events.iter().map(|event| event.codec.to_string()).collect();
    assert_eq!(codecs, ["json", "msgpack", "json"]);
    let again = packed.execute(Subscribe { course: 1, student: 7 }).await;
    assert!(matches!(again, Err(ExecuteError::Rejected(SubscribeError::Already))), "{again:?}");
}

/// Something that others do between the look and the append of a decision.
struct Meanwhile<D, F> {
    decision: D,
    does: F,
    times_decided: Arc<AtomicUsize>,
}

impl<D: Decision, F: Fn(usize) + Send + Sync> Decision for Meanwhile<D, F> {
    type Views = D::Views;
    type Event = D::Event;
    type Error = D::Error;

    fn views(&self) -> <D::Views as factum::Views>::Selects {
        self.decision.views()
    }

    fn decide(&self, views: &D::Views) -> Result<Records<D::Event>, D::Error> {
        (self.does)(self.times_decided.fetch_add(1, Ordering::SeqCst));
        self.decision.decide(views)
    }
}

fn append_now(store: &MemoryStore, stream: &str, event: &impl Event) {
    let new = NewEvent::encode(event, factum::Codec::default(), factum::Metadata::default())
        .expect("it can be encoded");
    let stream: StreamId = stream.parse().expect("a stream");
    factum::testing::block_on(store.append(Append::to(stream, Expected::Any, vec![new])))
        .expect("it is taken");
}

#[tokio::test]
async fn what_comes_in_between_makes_it_decide_again() {
    let store = MemoryStore::new();
    course_of(&store, 1, 1).await;
    let times_decided = Arc::new(AtomicUsize::new(0));
    let meanwhile = store.clone();
    let decision = Meanwhile {
        decision: Subscribe { course: 1, student: 7 },
        does: move |turn| {
            if turn == 0 {
                append_now(&meanwhile, "course/1", &Subscribed { course: 1, student: 8 });
            }
        },
        times_decided: Arc::clone(&times_decided),
    };
    let outcome = Decisions::new(store).execute(decision).await;
    assert!(matches!(outcome, Err(ExecuteError::Rejected(SubscribeError::Full))), "{outcome:?}");
    assert_eq!(times_decided.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn it_gives_up_with_the_facts() {
    let store = MemoryStore::new();
    course_of(&store, 1, 100).await;
    let times_decided = Arc::new(AtomicUsize::new(0));
    let meanwhile = store.clone();
    let decision = Meanwhile {
        decision: Subscribe { course: 1, student: 7 },
        does: move |turn| {
            append_now(
                &meanwhile,
                "course/1",
                &Subscribed { course: 1, student: 100 + u32::try_from(turn).expect("few") },
            );
        },
        times_decided: Arc::clone(&times_decided),
    };
    match Decisions::new(store).execute(decision).await {
        Err(ExecuteError::Overtaken(facts)) => {
            assert_eq!((facts.name.as_str(), facts.position.0), ("student.subscribed", 4));
        }
        other => panic!("expected it to give up, got {other:?}"),
    }
    assert_eq!(times_decided.load(Ordering::SeqCst), 3);
}

/// Subscribes, and takes it that seats which are given back or taken meanwhile are nobody's concern.
struct SubscribeLoosely(Subscribe, Looseness);

#[derive(Clone, Copy)]
enum Looseness {
    OnlySubscriptions,
    Nothing,
}

impl Decision for SubscribeLoosely {
    type Views = (Seats, Subscriptions);
    type Event = Subscribed;
    type Error = SubscribeError;

    fn views(&self) -> (Select<Seats>, Select<Subscriptions>) {
        let (seats, subscriptions) = self.0.views();
        match self.1 {
            Looseness::OnlySubscriptions => (seats.guarded_by::<Subscribed>(), subscriptions),
            Looseness::Nothing => (seats.unguarded(), subscriptions.unguarded()),
        }
    }

    fn decide(&self, views: &Self::Views) -> Result<Records<Subscribed>, SubscribeError> {
        self.0.decide(views)
    }
}

#[tokio::test]
async fn what_may_come_in_between_is_said_by_the_decision() {
    for (looseness, of_seats, of_subscription) in
        [(Looseness::OnlySubscriptions, 1, 2), (Looseness::Nothing, 1, 1)]
    {
        for (event, times) in [
            (CourseEvent::from(SeatsChanged { course: 1, seats: 9 }), of_seats),
            (Subscribed { course: 1, student: 8 }.into(), of_subscription),
        ] {
            let store = MemoryStore::new();
            course_of(&store, 1, 5).await;
            let times_decided = Arc::new(AtomicUsize::new(0));
            let meanwhile = store.clone();
            let decision = Meanwhile {
                decision: SubscribeLoosely(Subscribe { course: 1, student: 7 }, looseness),
                does: move |turn| {
                    if turn == 0 {
                        append_now(&meanwhile, "course/1", &event);
                    }
                },
                times_decided: Arc::clone(&times_decided),
            };
            Decisions::new(store).execute(decision).await.expect("there is a seat");
            assert_eq!(times_decided.load(Ordering::SeqCst), times);
        }
    }
}

/// An event about many things, or none.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "goods.moved")]
struct Moved {
    #[event(tag = "place")]
    from: String,
    #[event(tags = "place")]
    to: Option<String>,
    #[event(tags)]
    goods: Vec<u32>,
}

#[derive(View, Default, Debug, PartialEq)]
#[view(event = Moved)]
struct Moves(usize);

impl Apply<Moved> for Moves {
    fn apply(&mut self, _: Moved) {
        self.0 += 1;
    }
}

#[tokio::test]
async fn fields_become_tags() {
    let store = MemoryStore::new();
    let moved = |from: &str, to: Option<&str>, goods: &[u32]| Moved {
        from: from.into(),
        to: to.map(Into::into),
        goods: goods.into(),
    };
    append_now(&store, "store/1", &moved("A", Some("B"), &[1, 2]));
    append_now(&store, "store/1", &moved("B", None, &[]));
    append_now(&store, "store/2", &moved("C", Some("A"), &[2, 3]));
    let page = store
        .read_stream(ReadStream::new("store/1".parse().expect("a stream")))
        .await
        .expect("it can be read");
    let tags = |at: usize| page.events[at].metadata.tags.iter().map(Tag::as_str).collect::<Vec<_>>();
    assert_eq!(tags(0), ["goods:1", "goods:2", "place:A", "place:B"]);
    assert_eq!(tags(1), ["place:B"]);
    let decisions = Decisions::new(store);
    let count =
        async |select: Select<Moves>| decisions.look::<Moves>(&select).await.expect("it can be read").0;
    assert_eq!(count(Select::tagged("place", "A")).await, 2);
    assert_eq!(count(Select::tagged("goods", &2).and("place", "B")).await, 1);
    assert_eq!(count(Select::tagged("goods", &3).or(Select::tagged("place", "B"))).await, 3);
    assert_eq!(count(Select::tagged("goods", &1).or(Select::tagged("place", "A"))).await, 2);
    assert_eq!(count(Select::all()).await, 3);
    assert_eq!(count(Select::tagged("goods", &9)).await, 0);
}

#[tokio::test]
async fn what_makes_no_tag_is_told_before_anything_happens() {
    let store = MemoryStore::new();
    let long = "x".repeat(300);
    let decisions = Decisions::new(store.clone());
    let asked = decisions.look::<Moves>(&Select::tagged("place", &long)).await;
    assert!(matches!(asked, Err(ExecuteError::Invalid(Invalid::Name(_)))), "{asked:?}");
    let event = Moved { from: long, to: None, goods: Vec::new() };
    let encoded = NewEvent::encode(&event, factum::Codec::default(), factum::Metadata::default());
    assert!(matches!(encoded, Err(Invalid::Name(_))), "{encoded:?}");
}
