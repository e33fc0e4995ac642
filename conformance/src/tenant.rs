//! Tenants: what one of them has is found by its question, whole, and by nobody else's.

use factum_core::retention::Retention;
use factum_core::store::{Append, Condition, Filter, ReadAll, ReadCategory, ReadStream};
use factum_core::transfer::{export, import};
use factum_core::{
    Advance, AppendError, Checkpoint, Checkpoints, DeadLetters, EventFacts, EventId, EventQuery, EventStore,
    Expected, Invalid, NewDeadLetter, Position, QueryItem, ReadDeadLetters, RecordedEvent, StreamId, Tenant,
    TenantId, Tenants, Version,
};

use crate::Fixture;
use crate::given::{event, some, stream, stream_of};
use crate::matching::{about, event_about, item, matching, tag};
use crate::seen::{append, everything, ids, walk, whole};

/// What tenants are called that are easily taken for one another.
const NAMES: [&str; 4] = ["acme", "acme2", "acm", "ACME"];

fn tenant(name: &str) -> TenantId {
    TenantId::new(name.to_owned()).expect("promises use valid names")
}

fn tenants<S: EventStore + Clone>(store: &S) -> Vec<Tenant<S>> {
    let store = Tenants::new(store.clone());
    NAMES.iter().map(|name| store.tenant(tenant(name))).collect()
}

/// Events of several tenants, which all call everything alike, and of nobody; archived, truncated and deleted ones among them.
async fn fill<F: Fixture>(fixture: &F) -> Vec<Tenant<F::Store>> {
    let store = fixture.store();
    let tenants = tenants(store);
    for turn in 0..12 {
        let id = (turn % 4).to_string();
        append(store, about(&id, "x", &["a"])).await;
        // Nobody's, and nearly that of a tenant.
        append(store, Append::to(stream_of("acme", &id), Expected::Any, vec![event()])).await;
        append(store, Append::to(stream_of("order", "acme~1"), Expected::Any, vec![event()])).await;
        for tenant in &tenants {
            let mut second = event_about("y", &["a", "b"]);
            second.metadata.fields.insert("turn".into(), (turn % 3).to_string());
            let both = vec![event_about("x", &["a"]), second];
            append(tenant, Append::to(stream(&id), Expected::Any, both)).await;
            append(tenant, Append::to(stream_of("bill", &id), Expected::Any, vec![event()])).await;
        }
    }
    for tenant in &tenants[..2] {
        tenant.archive_stream(&stream("0"), Expected::Exists).await.expect("it is there");
        tenant.delete_stream(&stream("1"), Expected::Exists).await.expect("it is there");
        tenant.truncate_stream(&stream("2"), Version(3)).await.expect("it is there");
        tenant.archive_stream(&stream_of("bill", "3"), Expected::Exists).await.expect("it is there");
        tenant.restore_stream(&stream_of("bill", "3")).await.expect("it is archived");
    }
    tenants
}

/// What `id` has of everything, as it calls it.
fn own(all: &[RecordedEvent], id: &TenantId) -> Vec<RecordedEvent> {
    let own = all.iter().filter_map(|event| {
        let (tenant, stream) = TenantId::of(&event.stream)?;
        let prefix = format!("{tenant}~");
        let inner = |outer: &str| tag(outer.strip_prefix(&prefix).expect("its tags are its own"));
        let mut event = RecordedEvent { stream, ..event.clone() };
        event.metadata.tags = event.metadata.tags.iter().map(|outer| inner(outer.as_str())).collect();
        (tenant == *id).then_some(event)
    });
    own.collect()
}

/// The feed of a tenant has everything that it has, in the order of all, and nothing else: whole, in pages of any size, and through
/// every filter.
pub async fn the_feed_of_a_tenant_is_its_part_of_the_whole<F: Fixture>(fixture: F) {
    let tenants = fill(&fixture).await;
    let all = everything(fixture.store()).await;
    let last = all.last().expect("there is something").position;
    let filters = [
        Filter::all(),
        Filter { categories: vec!["order".into()], ..Filter::all() },
        Filter { streams: vec![stream("0"), stream_of("bill", "3")], ..Filter::all() },
        Filter { names: vec![event_about("y", &[]).name, event().name], ..Filter::all() },
        Filter { fields: [("turn".to_owned(), "1".to_owned())].into(), ..Filter::all() },
        Filter { categories: vec!["acme~order".into()], ..Filter::all() },
    ];
    for tenant in &tenants {
        let own = own(&all, tenant.id());
        assert!(own.len() >= 24, "{} is read whole", tenant.id());
        for filter in &filters {
            let expected: Vec<_> = own.iter().filter(|event| filter.passes(event)).cloned().collect();
            for limit in [1000, 7, 1] {
                let read = ReadAll::after(Position::START).filter(filter.clone()).limit(limit);
                assert_eq!(walk(tenant, read, last).await, expected, "for {filter:?} of {}", tenant.id());
            }
        }
    }
}

/// A tenant finds its streams and events, and no others of the same names.
pub async fn a_tenant_finds_its_own_alone<F: Fixture>(fixture: F) {
    let tenants = fill(&fixture).await;
    let all = everything(fixture.store()).await;
    for tenant in &tenants {
        let own = own(&all, tenant.id());
        for id in ["2", "3"] {
            let found = whole(tenant, &stream(id)).await;
            let expected: Vec<_> = own.iter().filter(|event| event.stream == stream(id)).cloned().collect();
            assert_eq!(found, expected);
        }
        for event in &all {
            let found = tenant.find_event(event.id).await.expect("it can be asked");
            assert_eq!(found, own.iter().find(|own| own.id == event.id).cloned());
        }
        let streams =
            tenant.read_category(ReadCategory::new("order")).await.expect("it can be asked").streams;
        let expected: Vec<_> = ["0", "1", "2", "3"].map(stream).into();
        assert_eq!(streams.into_iter().map(|(stream, _)| stream).collect::<Vec<_>>(), expected);
        let archived = tenant.read_archived(ReadStream::new(stream("0"))).await.expect("it can be read");
        let expected: Vec<_> = own.iter().filter(|event| event.stream == stream("0")).cloned().collect();
        let is_archived = NAMES[..2].contains(&tenant.id().as_str());
        assert_eq!(archived.events.len(), if is_archived { expected.len() - 1 } else { 0 });
    }
}

/// A query of a tenant finds what matches it among its own: by tags, by names, and everything.
pub async fn a_query_of_a_tenant_finds_its_own_alone<F: Fixture>(fixture: F) {
    let tenants = fill(&fixture).await;
    let all = everything(fixture.store()).await;
    let queries = [
        EventQuery::of(item(&[], &["a"])),
        EventQuery::of(item(&["x"], &["a"])).or(item(&[], &["b", "a"])),
        EventQuery::of(item(&["x"], &[])),
        EventQuery::of(item(&["tested"], &[])).or(item(&["y"], &["b"])),
        EventQuery::of(item(&[], &["acme~a"])),
        EventQuery::all(),
    ];
    for tenant in &tenants {
        let own = own(&all, tenant.id());
        for query in &queries {
            let expected: Vec<_> = own.iter().filter(|event| query.finds(event)).cloned().collect();
            for limit in [1000, 3] {
                assert_eq!(matching(tenant, query, limit).await.events, expected, "for {query:?}");
            }
        }
    }
}

/// What others record breaks no condition of a tenant, whatever they call it; what it records itself does.
pub async fn a_condition_is_about_one_tenant<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let tenants = tenants(store);
    let [acme, other, ..] = &tenants[..] else { unreachable!("there are several") };
    let items = [item(&[], &["a"]), item(&["x"], &["a"]), item(&["x"], &[]), QueryItem::default()];
    for (turn, item) in items.into_iter().enumerate() {
        let query = EventQuery::of(item);
        let seen = matching(acme, &query, 1000).await;
        let unchanged = || Condition::unchanged(query.clone(), seen.settled, &seen.events);
        append(other, about("1", "x", &["a"])).await;
        append(store, about("1", "x", &["a"])).await;
        let given = about(&turn.to_string(), "x", &["a"]).only_if(unchanged());
        append(acme, given).await;
        let late = acme.append(about("late", "z", &[]).only_if(unchanged())).await;
        assert!(matches!(late, Err(AppendError::Overtaken(_))), "for {query:?}: {late:?}");
    }
    let nothing = |id: &str| about(id, "q", &["a"]).only_if(Condition::nothing_matches(EventQuery::all()));
    append(&tenants[2], nothing("1")).await;
    assert!(matches!(tenants[2].append(nothing("2")).await, Err(AppendError::Overtaken(_))));
}

/// What a store keeps for the subscriptions of a tenant is that tenant's.
pub async fn what_is_kept_for_subscriptions_is_one_tenants<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let tenants = tenants(store);
    let [acme, other, ..] = &tenants[..] else { unreachable!("there are several") };
    for tenant in [acme, other] {
        append(tenant, some(&stream("1"), 2)).await;
    }
    let events = whole(acme, &stream("1")).await;
    everything(store).await;
    let letter =
        NewDeadLetter { event: EventFacts::from(&events[0]), holds_stream: true, attempts: 0, failure: None };
    let mut step = Advance::new("s".into(), Checkpoint::START, Checkpoint::from(&events[1]));
    step.parked = vec![letter.clone()];
    acme.advance(step).await.expect("it was there");

    assert_eq!(acme.checkpoint("s").await.expect("it is there"), Checkpoint::from(&events[1]));
    for nobody in [other.checkpoint("s").await, store.checkpoint("s").await] {
        assert_eq!(nobody.expect("it can be asked"), Checkpoint::START);
    }
    let letters = acme.dead_letters(ReadDeadLetters::of("s")).await.expect("they can be read");
    assert_eq!(letters.iter().map(|kept| kept.letter.clone()).collect::<Vec<_>>(), [letter]);
    assert_eq!(acme.parked("s", 9).await.expect("they can be read").streams, [stream("1")]);
    assert_eq!(other.dead_letters(ReadDeadLetters::of("s")).await.expect("they can be read"), []);
    assert_eq!(other.parked("s", 9).await.expect("they can be read").streams, [] as [StreamId; 0]);
    let dropped = other.drop_dead_letter("s", events[0].position).await.expect("it can be asked");
    assert!(!dropped, "it is not its own");
    let own = Advance::new("s".into(), Checkpoint::START, Checkpoint::from(&events[0]));
    other.advance(own).await.expect("it has not begun");
    assert_eq!(acme.checkpoint("s").await.expect("it is there"), Checkpoint::from(&events[1]));
}

/// An id that another tenant's event has is refused, and nothing is told about that event.
pub async fn an_id_of_another_tenant_is_refused<F: Fixture>(fixture: F) {
    let tenants = tenants(fixture.store());
    let given = some(&stream("1"), 1);
    let id = given.events().next().map(|event| event.id).expect("it has one");
    append(&tenants[0], given.clone()).await;
    for (other, given) in [(&tenants[1], given.clone()), (&tenants[1], some_with(id))] {
        match other.append(given).await {
            Err(AppendError::Invalid(Invalid::IdTaken { id: taken })) => assert_eq!(taken, id),
            outcome => panic!("expected the id to be taken, got {outcome:?}"),
        }
    }
    assert_eq!(ids(&whole(&tenants[1], &stream("1")).await), [] as [EventId; 0]);
    append(&tenants[0], given).await;
    assert_eq!(ids(&whole(&tenants[0], &stream("1")).await), [id], "its own repetition is known");
}

fn some_with(id: EventId) -> Append {
    let mut event = event();
    event.id = id;
    Append::to(stream("2"), Expected::Any, vec![event])
}

/// The export of a tenant has everything of it, and nothing else; and is taken by a store that has nothing.
pub async fn a_tenant_moves_to_a_store_of_its_own<F: Fixture>(fixture: F) {
    let tenants = fill(&fixture).await;
    let acme = &tenants[0];
    let mut file = Vec::new();
    export(acme, &mut file).await.expect("it can be exported");
    let empty = F::empty().await;
    import(empty.store(), &file[..]).await.expect("it can be imported");
    let expected = own(&everything(fixture.store()).await, acme.id());
    assert_eq!(everything(empty.store()).await, expected);
    let query = EventQuery::of(item(&[], &["a", "b"]));
    let found = matching(empty.store(), &query, 100).await.events;
    assert_eq!(found, expected.iter().filter(|event| query.finds(event)).cloned().collect::<Vec<_>>());

    let elsewhere = F::empty().await;
    let again = Tenants::new(elsewhere.store().clone()).tenant(tenant("moved"));
    import(&again, &file[..]).await.expect("it can be imported");
    assert_eq!(own(&everything(elsewhere.store()).await, again.id()), expected);
}
