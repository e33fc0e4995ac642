//! Appends on a condition: decisions over any set of events, whatever their streams (law 3, without streams).
//!
//! The rules are those of the specification of dynamic consistency boundaries (<https://dcb.events/specification>); how the
//! position of a read is named goes beyond it, see [`Condition`].

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::Fixture;
use crate::dice::Dice;
use crate::given::{events, ids_of, some, stream};
use crate::matching::{about, event_about, item, matching};
use crate::others::{Others, begin};
use crate::race::race;
use crate::seen::{append, everything, ids, invalid, positions, soon, whole};
use factum_core::retention::Retention;
use factum_core::store::{Append, Appended, Condition};
use factum_core::{
    AppendError, Checkpoint, EventId, EventQuery, EventStore, Expected, Invalid, Overtaken, Position,
    QueryItem, RecordedEvent, StoreErrorKind, Transactional, Version,
};

/// How many decide at once.
const RACERS: usize = 16;

/// Reads what matches, and makes `given` depend on it.
async fn decided(store: &impl EventStore, query: &EventQuery, given: Append) -> Append {
    let seen = matching(store, query, 100).await;
    given.only_if(Condition::unchanged(query.clone(), seen.settled, &seen.events))
}

/// What has overtaken an append.
#[track_caller]
fn overtaken(outcome: Result<Appended, AppendError>) -> Overtaken {
    match outcome {
        Err(AppendError::Overtaken(overtaken)) => overtaken,
        other => panic!("expected the append to be overtaken, got {other:?}"),
    }
}

fn tagged(tag: &str) -> EventQuery {
    EventQuery::of(item(&[], &[tag]))
}

/// An append whose condition holds is like any other.
pub async fn appends_where_the_condition_holds<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a"])).await;
    for turn in 1..=20 {
        let given =
            Append::to(stream("1"), Expected::Any, vec![event_about("x", &["a"]), event_about("y", &["b"])])
                .and(stream("2"), Expected::Any, vec![event_about("x", &["a", "b"])]);
        let given = decided(store, &tagged("a"), given).await;
        let appended = store.append(given.clone()).await.expect("nothing came in between");
        assert_eq!(appended.versions, [Version(1 + 2 * turn), Version(turn)]);
        let feed = everything(store).await;
        assert_eq!(ids(&feed[feed.len() - 3..]), ids_of(&given));
        assert_eq!(feed[feed.len() - 1].position, appended.position);
    }
}

/// One that something has overtaken which matches fails, writes nothing, and says what it was.
pub async fn is_overtaken_by_what_matches<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a", "b"])).await;
    let queries = [
        item(&[], &["a"]),
        item(&["x"], &["a"]),
        item(&["w", "x"], &["b", "a"]),
        item(&["x"], &[]),
        item(&[], &[]),
    ];
    for (round, query) in (0..).zip(queries.into_iter().map(EventQuery::of)) {
        let given = decided(store, &query, some(&stream("2"), 2)).await;
        let several = Append::to(stream("2"), Expected::Exactly(Version(2 * round)), events(1)).and(
            stream("5"),
            Expected::NoStream,
            events(1),
        );
        let several = decided(store, &query, several).await;
        let first = append(store, about("3", "x", &["a", "b", "c"])).await.position;
        append(store, about("4", "x", &["a", "b"])).await;
        let before = everything(store).await;
        let facts = overtaken(store.append(given.clone()).await);
        // Markers of a promise match a query for everything.
        assert!(
            facts.position <= first && facts.position > before[before.len() - 3].position,
            "for {query:?}"
        );
        if query != EventQuery::all() {
            assert_eq!((facts.position, facts.name.as_str()), (first, "x"), "for {query:?}");
        }
        // The same holds for several streams, each of which is as expected.
        overtaken(store.append(several).await);
        assert_eq!(everything(store).await, before, "nothing was written");
        // Decided anew, it may happen, with the same ids.
        let again = Append::to(stream("2"), Expected::Any, given.into_streams().remove(0).events);
        let again = decided(store, &query, again).await;
        store.append(again).await.expect("nothing came in between");
    }
}

/// What does not match overtakes nobody, however much alike it is.
pub async fn is_not_overtaken_by_what_does_not_match<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a", "b"])).await;
    let query = EventQuery::of(item(&["x"], &["a", "b"])).or(item(&["z"], &[]));
    let given = decided(store, &query, some(&stream("2"), 1)).await;
    for (name, tags) in
        [("x", &["a"][..]), ("x", &["b", "c"]), ("y", &["a", "b"]), ("x", &[]), ("x", &["a b", "ab"])]
    {
        append(store, about("1", name, tags)).await;
    }
    store.append(given).await.expect("nothing that matches came in between");
    // Nor by what matches and was there before.
    let all = matching(store, &query, 100).await;
    let late = some(&stream("3"), 1).only_if(Condition::unchanged(query, all.settled, &all.events));
    store.append(late).await.expect("nothing came in between");
    // And nothing matches a query without items.
    let never = some(&stream("4"), 1).only_if(Condition::nothing_matches(EventQuery::none()));
    store.append(never).await.expect("a condition that nothing breaks");
}

/// That nothing matches in the whole log is a condition of its own.
pub async fn nothing_matches_is_a_condition<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let address = |text: &str| EventQuery::of(item(&["registered"], &[text]));
    let register = |id: &str, text: &str| {
        about(id, "registered", &[text]).only_if(Condition::nothing_matches(address(text)))
    };
    let first = append(store, register("1", "email:ada")).await;
    append(store, register("2", "email:bob")).await;
    append(store, some(&stream("3"), 5)).await;
    assert_eq!(overtaken(store.append(register("4", "email:ada")).await).position, first.position);
    assert_eq!(whole(store, &stream("4")).await, []);
    append(store, register("4", "email:ada@other")).await;
}

/// **The trap.** An event may be committed after a read and stand below what the read has seen. It overtakes all the same; and
/// what the read has seen above does not.
pub async fn is_overtaken_by_what_is_committed_late<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a"])).await;
    for turn in 0..20 {
        let mut tx = begin(store).await;
        let late = about("late", "x", &["a"]);
        store.append_in(&mut tx, late.clone()).await.expect("nothing is expected");
        let others = Others::append(store, about("behind", "x", &["a"])).await;
        let given = soon("a decision", decided(store, &tagged("a"), some(&stream("2"), 1))).await;
        let is_behind_seen = others.are_done();
        // Whoever decides may have to wait for the one who is writing.
        let racing = tokio::spawn({
            let (store, given) = (store.clone(), given.clone());
            async move { store.append(given).await }
        });
        tokio::time::sleep(Duration::from_millis(if turn % 2 == 0 { 20 } else { 0 })).await;
        store.commit(tx).await.expect("it commits");
        let behind = others.done().await;
        let outcome = soon("a decision", racing).await.expect("it does not panic");
        let written = whole(store, &stream("late")).await;
        let late = written.last().expect("it was committed");
        match outcome {
            Err(AppendError::Overtaken(facts)) => {
                let by =
                    if is_behind_seen { vec![late.position] } else { vec![late.position, behind.position] };
                assert!(by.contains(&facts.position), "by one of {by:?}, not {facts:?}");
            }
            other => panic!("{} came in between, and it is {other:?}", late.position),
        }
        // Decided anew it happens.
        let again = decided(store, &tagged("a"), some(&stream("2"), 1)).await;
        store.append(again).await.expect("nothing came in between");
    }
}

/// Law 4: repeated with the same ids it answers as the first did, although by now its own events match its condition.
pub async fn a_repeat_answers_as_the_first_did<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a"])).await;
    let given = decided(store, &tagged("a"), about("1", "x", &["a"])).await;
    let first = append(store, given.clone()).await;
    append(store, about("1", "x", &["a"])).await;
    assert_eq!(append(store, given.clone()).await, first);
    let several = about("2", "x", &["a"]).and(stream("3"), Expected::NoStream, events(1));
    let several = decided(store, &tagged("a"), several).await;
    let first = append(store, several.clone()).await;
    append(store, about("1", "x", &["a"])).await;
    assert_eq!(append(store, several).await, first);
    let mut tx = begin(store).await;
    assert!(store.append_in(&mut tx, given).await.expect("a repeat is answered").is_repeated());
    drop(tx);
    assert_eq!(everything(store).await.len(), 6);
}

/// What is expected of streams is demanded as well, and said first.
pub async fn what_is_expected_of_streams_is_demanded_too<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a"])).await;
    let stale = Append::to(stream("1"), Expected::NoStream, vec![event_about("x", &["a"])]);
    let stale = decided(store, &tagged("a"), stale).await;
    assert!(matches!(store.append(stale.clone()).await, Err(AppendError::Conflict(_))));
    append(store, about("2", "x", &["a"])).await;
    assert!(matches!(store.append(stale).await, Err(AppendError::Conflict(_))));
    let met = Append::to(stream("1"), Expected::Exactly(Version(1)), vec![event_about("x", &["a"])]);
    let met = decided(store, &tagged("a"), met).await;
    assert_eq!(append(store, met).await.version(), Version(2));
    store.delete_stream(&stream("2"), Expected::Any).await.expect("it is there");
    let closed = decided(store, &tagged("a"), about("2", "x", &["a"])).await;
    assert!(matches!(store.append(closed).await, Err(AppendError::Closed(_))));
}

/// Of those who race for the one seat of a course exactly one gets it, a thousand times.
pub async fn one_of_those_who_race_for_a_seat_gets_it<F: Fixture>(fixture: F) {
    const ROUNDS: usize = 1000;
    let store = fixture.store();
    for round in 0..ROUNDS {
        let course = format!("course:{round}");
        let query = EventQuery::of(item(&["subscribed"], &[&course]));
        let racers = (0..RACERS).map(|racer| {
            let (store, query, course) = (store.clone(), query.clone(), course.clone());
            async move {
                let seen = matching(&store, &query, 100).await;
                if !seen.events.is_empty() {
                    return false;
                }
                // To one stream, or to streams of their own.
                let id = if round % 2 == 0 { course.clone() } else { format!("{course}/{racer}") };
                let given = about(&id, "subscribed", &[&course, &format!("student:{racer}")]);
                match store.append(given.only_if(Condition::unchanged(query, seen.settled, []))).await {
                    Ok(_) => true,
                    Err(AppendError::Overtaken(_)) => false,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let won = race(racers).await.into_iter().filter(|&won| won).count();
        assert_eq!(won, 1, "in round {round}");
        assert_eq!(matching(store, &query, 100).await.events.len(), 1, "in round {round}");
    }
}

/// Of those who have seen the same exactly one wins.
pub async fn one_of_those_who_have_seen_the_same_wins<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..100 {
        let course = format!("course:{round}");
        let query = EventQuery::of(item(&["subscribed"], &[&course]));
        let mut given = Vec::new();
        for racer in 0..RACERS {
            let id = if round % 2 == 0 { course.clone() } else { format!("{course}/{racer}") };
            given.push(decided(store, &query, about(&id, "subscribed", &[&course])).await);
        }
        let racers = given.into_iter().map(|given| {
            let store = store.clone();
            async move { store.append(given).await }
        });
        let outcomes = race(racers).await;
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "one wins in round {round}: {outcomes:?}");
        let facts: BTreeSet<_> =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).map(ToString::to_string).collect();
        assert_eq!(facts.len(), 1, "and the others are told of it");
        assert_eq!(positions(&matching(store, &query, 100).await.events), [won[0].position]);
    }
}

/// Those whose decisions have nothing to do with each other all win.
pub async fn all_of_those_who_decide_on_other_things_win<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..20 {
        let mut given = Vec::new();
        for racer in 0..RACERS {
            let course = format!("course:{round}/{racer}");
            let append = about(&course, "subscribed", &[&course, "all"]);
            given.push(decided(store, &tagged(&course), append).await);
        }
        let racers = given.into_iter().map(|given| {
            let store = store.clone();
            async move { store.append(given).await }
        });
        for outcome in race(racers).await {
            outcome.expect("nothing that matches came in between");
        }
    }
    assert_eq!(matching(store, &tagged("all"), 100).await.events.len(), 20 * RACERS);
}

/// Random appends, on conditions and without, by many at once: there is an order in which each of them could have been done
/// alone. It is that of the positions: each that happened had seen all that matches and stands before it.
pub async fn there_is_an_order_in_which_all_could_have_been_done_alone<F: Fixture>(fixture: F) {
    const TURNS: usize = 40;
    let store = fixture.store();
    let racers = (0..RACERS).map(|racer| {
        let store = store.clone();
        async move {
            let mut dice = Dice::new(&racer.to_string());
            let (mut done, mut overtaken) = (Vec::new(), 0);
            for _ in 0..TURNS {
                let tags = [format!("t{}", dice.roll(4)), format!("u{}", dice.roll(3))];
                let tags: Vec<&str> = tags.iter().map(String::as_str).take(1 + dice.index(2)).collect();
                let given = about(&dice.roll(6).to_string(), ["x", "y"][dice.index(2)], &tags);
                let id = ids_of(&given)[0];
                if dice.once_in(3) {
                    append(&store, given).await;
                    continue;
                }
                let (t, u) = (format!("t{}", dice.roll(4)), format!("u{}", dice.roll(3)));
                let query = match dice.roll(6) {
                    0 => EventQuery::of(item(&[["x", "y"][dice.index(2)]], &[])),
                    1 => EventQuery::of(item(&["x"], &[&t, &u])),
                    2 => tagged(&t).or(item(&["y"], &[&u])),
                    _ => tagged(tags[0]),
                };
                let seen = matching(&store, &query, 1000).await;
                let condition = Condition::unchanged(query.clone(), seen.settled, &seen.events);
                tokio::task::yield_now().await;
                match store.append(given.only_if(condition)).await {
                    Ok(_) => done.push((id, (query, ids(&seen.events)))),
                    Err(AppendError::Overtaken(_)) => overtaken += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (done, overtaken)
        }
    });
    let (done, overtaken): (Vec<_>, Vec<usize>) = race(racers).await.into_iter().unzip();
    let done: HashMap<_, _> = done.into_iter().flatten().collect();
    let all = everything(store).await;
    assert!(overtaken.iter().sum::<usize>() > 0 && !done.is_empty(), "they got in each other's way");
    for (at, event) in all.iter().enumerate() {
        let Some((query, seen)) = done.get(&event.id) else { continue };
        let before: Vec<_> = all[..at]
            .iter()
            .filter(|event| query.matches(&event.name, &event.metadata.tags))
            .cloned()
            .collect();
        assert_eq!(*seen, ids(&before), "what {} has decided on", event.position);
    }
}

/// A condition in a transaction is like any other; one that is broken leaves the transaction as it was.
pub async fn a_transaction_appends_on_a_condition<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["a"])).await;
    let stale = decided(store, &tagged("a"), some(&stream("2"), 1)).await;
    let by = append(store, about("1", "x", &["a"])).await.position;
    let fresh = decided(store, &tagged("a"), about("2", "x", &["a"])).await;
    let mut tx = begin(store).await;
    store.append_in(&mut tx, some(&stream("3"), 1)).await.expect("nothing is expected");
    match store.append_in(&mut tx, stale).await {
        Err(AppendError::Overtaken(facts)) => assert_eq!(facts.position, by),
        other => panic!("expected the append to be overtaken, got {other:?}"),
    }
    store.append_in(&mut tx, fresh.clone()).await.expect("nothing came in between");
    // What the transaction has appended itself came in between, too.
    let own = Append::to(stream("4"), Expected::Any, events(1));
    let own = own.only_if(fresh.condition().expect("it has one").clone());
    assert!(matches!(store.append_in(&mut tx, own).await, Err(AppendError::Overtaken(_))));
    store.commit(tx).await.expect("it commits");
    for (id, count) in [("2", 1), ("3", 1), ("4", 0)] {
        assert_eq!(whole(store, &stream(id)).await.len(), count, "in stream {id}");
    }
}

/// Of those who have seen the same and append in transactions exactly one wins.
pub async fn those_who_decide_in_transactions_exclude_each_other<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for round in 0..20 {
        let course = format!("course:{round}");
        let mut given = Vec::new();
        for racer in 0..4 {
            let append = about(&format!("{course}/{racer}"), "x", &[&course]);
            given.push(decided(store, &tagged(&course), append).await);
        }
        let racers = given.into_iter().map(|given| {
            let store = store.clone();
            async move {
                let mut tx = begin(&store).await;
                match store.append_in(&mut tx, given).await {
                    Ok(_) => store.commit(tx).await.map(|()| true).expect("it commits"),
                    Err(AppendError::Overtaken(_)) => {
                        store.rollback(tx).await.map(|()| false).expect("it ends")
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let won = race(racers).await.into_iter().filter(|&won| won).count();
        assert_eq!(won, 1, "in round {round}");
        assert_eq!(matching(store, &tagged(&course), 100).await.events.len(), 1, "in round {round}");
    }
}

/// What was archived overtakes as it did before, and what was deleted does not.
pub async fn what_is_deleted_overtakes_nobody<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, about("1", "x", &["b"])).await;
    let deleted = decided(store, &tagged("a"), some(&stream("2"), 1)).await;
    append(store, about("gone", "x", &["a"])).await;
    store.delete_stream(&stream("gone"), Expected::Any).await.expect("it is there");
    store.append(deleted).await.expect("what came in between is gone");
    let archived = decided(store, &tagged("a"), some(&stream("2"), 1)).await;
    let by = append(store, about("apart", "x", &["a"])).await.position;
    store.archive_stream(&stream("apart"), Expected::Any).await.expect("it is there");
    assert_eq!(overtaken(store.append(archived.clone()).await).position, by);
    store.restore_stream(&stream("apart")).await.expect("it is archived");
    assert_eq!(overtaken(store.append(archived).await).position, by);
}

/// A condition that was made of another log is refused.
pub async fn refuses_a_condition_of_another_log<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let last = append(store, some(&stream("1"), 3)).await.position;
    let mut given = decided(store, &tagged("a"), some(&stream("2"), 1)).await;
    let foreign = Checkpoint { position: last, event_id: Some(EventId::new()) };
    let condition = given.condition().expect("it has one").clone();
    given = given.only_if(Condition { after: foreign, ..condition.clone() });
    match store.append(given.clone()).await {
        Err(AppendError::Store(error)) => {
            let found = everything(store).await.last().map(|event| event.id);
            let kind = StoreErrorKind::ForeignCheckpoint { checkpoint: foreign, found };
            assert_eq!(*error.kind(), kind);
        }
        other => panic!("expected the condition to be refused, got {other:?}"),
    }
    assert_eq!(whole(store, &stream("2")).await, []);
    // One that names no event is of whichever log it is.
    let anonymous = Condition { after: Checkpoint { event_id: None, ..foreign }, ..condition };
    store.append(given.only_if(anonymous)).await.expect("nothing came in between");
}

/// A query that is too large is refused before anything is written.
pub async fn refuses_a_query_that_is_too_large<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let with = |items: usize| {
        (0..items).fold(EventQuery::none(), |query, at| query.or(item(&["x"], &[&format!("t:{at}")])))
    };
    let most = some(&stream("1"), 1).only_if(Condition::nothing_matches(with(333)));
    append(store, most).await;
    let more = some(&stream("1"), 1).only_if(Condition::nothing_matches(with(334)));
    match invalid(store.append(more).await) {
        Invalid::QueryTooLarge { parts, parts_max } => assert_eq!((parts, parts_max), (1002, 1000)),
        other => panic!("expected the query to be too large, got {other:?}"),
    }
    assert_eq!(whole(store, &stream("1")).await.len(), 1);
}

/// However many tags and conditions there are at once, each is looked at.
pub async fn appends_with_many_tags_exclude_each_other_too<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let texts: Vec<String> = (0..400).map(|at| format!("tag:{at}")).collect();
    let tags: Vec<&str> = texts.iter().map(String::as_str).collect();
    for round in 0..5 {
        let racers = (0..RACERS).map(|racer| {
            let (store, last) = (store.clone(), texts[399].clone());
            let given = if racer % 2 == 0 { about("many", "x", &tags) } else { about("one", "x", &[&last]) };
            async move {
                let given = decided(&store, &tagged(&last), given).await;
                store.append(given).await
            }
        });
        let outcomes = race(racers).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(AppendError::Overtaken(_)))));
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(won > 0, "one of them wins in round {round}");
    }
    let feed: Vec<RecordedEvent> = everything(store).await;
    let found = matching(store, &tagged("tag:399"), 100).await.events;
    assert_eq!(found, feed);
    let of_all = QueryItem {
        tags: texts.iter().map(|text| crate::matching::tag(text)).collect(),
        ..QueryItem::default()
    };
    let found = matching(store, &EventQuery::of(of_all), 100).await.events;
    assert_eq!(ids(&found), ids(&whole(store, &stream("many")).await));
    assert!(found.iter().all(|event| event.position > Position::START));
}
