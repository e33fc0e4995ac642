//! Reading: filters in SQL, and the log as `jsonb`.

use std::time::Duration;

use factum_core::store::{Append, Filter, Page, ReadAll, ReadStream};
use factum_core::{EventName, EventStore, Expected, Metadata, NewEvent, Position, StoreErrorKind, StreamId};
use factum_postgres::PostgresStore;

use crate::given::{
    PATIENCE, all_events, database, empty_database, event, event_named, events_of, one, run, store, stranger,
    stream, url_with,
};

fn named(name: &str) -> Filter {
    Filter { names: vec![EventName::new(name.to_owned()).expect("a name")], ..Filter::all() }
}

async fn page(store: &PostgresStore, after: u64, filter: Filter, limit: usize) -> Page {
    store.read_all(ReadAll::after(Position(after)).filter(filter).limit(limit)).await.expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_matches_nothing_moves_on_window_by_window() {
    let database = database().await;
    let store = store(&database).await;
    let many = "INSERT INTO factum_events (position, event_id, category, stream, version, name, schema_version, codec,
                                           payload, metadata, recorded_at)
                SELECT nextval('factum_position'), gen_random_uuid(), 'order', '1', n, 'common', 1, 'json', '1', '{}', now()
                FROM generate_series(1, 25000) AS n";
    run(&mut stranger(&database).await, many).await;

    let first = page(&store, 0, named("rare"), 10).await;
    assert_eq!((first.events.len(), first.checkpoint.position, first.end), (0, Position(20_000), false));
    let second = page(&store, 20_000, named("rare"), 10).await;
    assert_eq!((second.events.len(), second.checkpoint.position, second.end), (0, Position(25_000), true));
    // Where nothing is filtered nothing is looked at in vain.
    assert_eq!(page(&store, 0, Filter::all(), 22_000).await.events.len(), 22_000);

    // A hole is not looked at either.
    run(&mut stranger(&database).await, "SELECT setval('factum_position', 1000000000)").await;
    let rare = Append::to(stream("2"), Expected::Any, vec![event_named("rare")]);
    let at = store.append(rare).await.expect("appends").position;
    let third = page(&store, 25_000, named("rare"), 10).await;
    assert_eq!((third.events.len(), third.checkpoint.position, third.end), (1, at, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_limits_has_everything() {
    let database = database().await;
    let store = store(&database).await;
    // Far up, so that nothing can be added to the position without care.
    run(&mut stranger(&database).await, "SELECT setval('factum_position', 1::bigint << 62)").await;
    for _ in 0..3 {
        store.append(one("1", Expected::Any)).await.expect("appends");
    }
    for filter in [Filter::all(), named("tested")] {
        let read = ReadAll::after(Position::START).filter(filter).limit(usize::MAX).bytes(usize::MAX);
        let page = store.read_all(read).await.expect("reads");
        assert_eq!((page.events.len(), page.end), (3, true));
    }
    let read = ReadStream::new(stream("1")).limit(usize::MAX).bytes(usize::MAX);
    assert_eq!(store.read_stream(read).await.expect("reads").events.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_filtered_as_pairs() {
    let database = database().await;
    let store = store(&database).await;
    let streams = ["a/1", "a/2", "b/1", "b/2"].map(|text| text.parse::<StreamId>().expect("a stream"));
    for stream in &streams {
        store.append(Append::to(stream.clone(), Expected::Any, vec![event()])).await.expect("appends");
    }
    let wanted = vec![streams[0].clone(), streams[3].clone()];
    let page = page(&store, 0, Filter { streams: wanted.clone(), ..Filter::all() }, 10).await;
    let found: Vec<StreamId> = page.events.into_iter().map(|event| event.stream).collect();
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_that_cannot_be_is_filtered_like_any_other() {
    let database = database().await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    for (categories, passing) in
        [(vec!["a\0b"], 0), (vec!["order\0"], 0), (vec!["a\0b", "order"], 1), (vec![], 1)]
    {
        let categories = categories.into_iter().map(str::to_owned).collect();
        let page = page(&store, 0, Filter { categories, ..Filter::all() }, 10).await;
        assert_eq!((page.events.len(), page.end), (passing, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_no_store_has_written_is_named() {
    let database = database().await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    run(&mut stranger(&database).await, "UPDATE factum_events SET metadata = 'none'").await;
    let read = ReadAll::after(Position::START).limit(1);
    let error = store.read_all(read).await.expect_err("no metadata");
    assert_eq!(*error.kind(), StoreErrorKind::Corrupt);
    let source = std::error::Error::source(&error).expect("says where").to_string();
    assert_eq!(source, "column `metadata` of the event at position 1 cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_reader_notices_another_process() {
    let database = database().await;
    let (reader, writer) = (store(&database).await, store(&database).await);
    let waiting = tokio::spawn(async move { reader.wait(Position::START).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    writer.append(one("1", Expected::Any)).await.expect("appends");
    tokio::time::timeout(Duration::from_secs(2), waiting)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_append_is_written_in_parts_and_whole() {
    let database = database().await;
    let store = store(&database).await;
    let events: Vec<NewEvent> = std::iter::repeat_with(event).take(10_000).collect();
    let append = Append::to(stream("1"), Expected::NoStream, events.clone());
    let appended =
        tokio::time::timeout(PATIENCE, store.append(append)).await.expect("in time").expect("appends");
    let recorded = events_of(&store, "1").await;
    assert!(recorded.iter().map(|event| event.id).eq(events.iter().map(|event| event.id)));
    assert!(recorded.iter().map(|event| event.version.0).eq(1..=10_000));
    assert!(recorded.is_sorted_by_key(|event| event.position));
    assert_eq!(recorded.last().map(|event| event.position), Some(appended.position));
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM factum_events")
        .fetch_one(&mut stranger(&database).await)
        .await
        .expect("counts");
    assert_eq!(transactions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_there_as_jsonb_where_it_can_be() {
    let database = database().await;
    let store = store(&database).await;
    let deep = "[".repeat(200_000);
    let with = |codec: &'static str, payload: &[u8]| NewEvent {
        codec: codec.into(),
        payload: payload.to_vec().into(),
        ..event()
    };
    let mut odd = with("json", br#"{"text":"a\u0000b"}"#);
    odd.metadata = Metadata { fields: [("k".to_owned(), "\0".to_owned())].into(), ..Metadata::default() };
    let events = vec![
        with("json", br#"{"a": {"b": [1, 2]}}"#),
        with("json", b"\xff\xfe"),
        with("json", b"{"),
        odd,
        with("json", deep.as_bytes()),
        with("other", b"1"),
    ];
    store.append(Append::to(stream("1"), Expected::Any, events)).await.expect("appends");
    let query = "SELECT payload #>> '{a,b,1}', payload IS NULL, metadata IS NULL FROM factum_events_json ORDER BY position";
    let rows: Vec<(Option<String>, bool, bool)> = sqlx::query_as(query)
        .fetch_all(&mut stranger(&database).await)
        .await
        .expect("one bad row does not spoil the others");
    let bad = (None, true, false);
    let expected = [
        (Some("2".to_owned()), false, false),
        bad.clone(),
        bad.clone(),
        (None, true, true),
        bad.clone(),
        bad,
    ];
    assert_eq!(rows, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_path_says_where_the_tables_are() {
    let database = empty_database().await;
    let mut stranger = stranger(&database).await;
    run(&mut stranger, "CREATE SCHEMA events").await;
    let url = url_with(&database, "search_path=events");
    let store = PostgresStore::connect(&url).await.expect("connects");
    store.migrate().await.expect("migrates");
    store.append(one("1", Expected::Any)).await.expect("appends");
    assert_eq!(all_events(&store).await.len(), 1);
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events.factum_events_json WHERE payload IS NOT NULL")
            .fetch_one(&mut stranger)
            .await
            .expect("the view does not depend on the search path");
    assert_eq!(rows, 1);
}
