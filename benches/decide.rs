//! Decisions: an append with two tags on the condition that nothing has come in between which has either, beside the same append
//! without a condition; and a condition that looks back over the whole log.
//!
//! The log has 100,000 events before, or as many as `FACTUM_BENCH_EVENTS` says, each with a tag of one of 1,000 courses and one of one
//! of 100,000 students.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use factum::store::{Append, Condition};
use factum::{
    Checkpoint, Codec, Event, EventName, EventQuery, EventStore, Expected, Metadata, NewEvent, Position,
    QueryItem, StreamId, Tag,
};
use factum_benches::{Bench, Postgres, Sqlite, at_once};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use uuid::Uuid;

const CALLERS: [u32; 3] = [1, 8, 64];
const COURSES: u32 = 1000;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "student.subscribed")]
struct Subscribed {
    #[event(tag)]
    course: u32,
    #[event(tag)]
    student: Uuid,
}

fn main() {
    let bench = Bench::begin();
    let events = std::env::var("FACTUM_BENCH_EVENTS").map_or(100_000, |text| text.parse().expect("a number"));
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        bench.given(fill_sqlite(&sqlite, events));
        compare(&bench, "sqlite", &sqlite.store, events);
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        bench.given(fill_postgres(&postgres, events));
        compare(&bench, "postgres", &postgres.store, events);
    }
}

/// The events of the past, in one statement, since what is measured is what comes after them.
async fn fill_postgres(postgres: &Postgres, events: u32) {
    let fill = format!(
        "SET LOCAL statement_timeout = 0;
         INSERT INTO factum_events
             (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
         SELECT n, 1 + n / {COURSES}, now(), md5(n::text)::uuid, 1, 'course', (n % {COURSES})::text, 'student.subscribed', 'json',
             '{{\"course\":1,\"student\":\"0192f0c0-0000-7000-8000-000000000000\"}}', '{{\"tags\":[\"course:1\",\"student:1\"]}}'
         FROM generate_series(1, {events}) AS n;
         INSERT INTO factum_tags (tag, name, position)
         SELECT 'course:' || (n % {COURSES}), 'student.subscribed', n FROM generate_series(1, {events}) AS n;
         INSERT INTO factum_tags (tag, name, position)
         SELECT 'student:' || (n % 100000), 'student.subscribed', n FROM generate_series(1, {events}) AS n;
         SELECT setval('factum_position', {events})"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(postgres.store.pool()).await.expect("it can be filled");
    postgres.settle().await;
}

async fn fill_sqlite(sqlite: &Sqlite, events: u32) {
    let fill = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {events})
         INSERT INTO factum_events
             (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
         SELECT n, 1 + n / {COURSES}, 0, randomblob(16), 1, 'course', n % {COURSES}, 'student.subscribed', 'json',
             x'7b7d', '{{}}'
         FROM n;
         INSERT INTO factum_tags (tag, name, position)
         SELECT 'course:' || (position % {COURSES}), name, position FROM factum_events ORDER BY 1, 3;
         INSERT INTO factum_tags (tag, name, position)
         SELECT 'student:' || (position % 100000), name, position FROM factum_events ORDER BY 1, 3;"
    );
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(sqlite.path());
    let mut connection = options.connect().await.expect("a file");
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await.expect("it can be filled");
}

/// What the condition of an append asks.
#[derive(Clone, Copy)]
enum Asked {
    /// Nothing.
    Nothing,
    /// Whether anything of the course or the student has come after the last append.
    Fresh,
    /// Whether anything of them, under a name that no event has, was ever recorded.
    Ever,
}

fn compare(bench: &Bench, name: &str, store: &(impl EventStore + Clone), events: u32) {
    // Of all contenders: what one of them has appended has come in between for another.
    let last = Arc::new(AtomicU64::new(events.into()));
    for callers in CALLERS {
        let [fresh, ever, nothing] = [Asked::Fresh, Asked::Ever, Asked::Nothing].map(|asked| {
            let (store, last, course) = (store.clone(), Arc::clone(&last), Arc::new(AtomicU32::new(0)));
            move || {
                let (store, last) = (store.clone(), Arc::clone(&last));
                let course = course.fetch_add(1, Ordering::Relaxed) % COURSES;
                async move {
                    let append = append(course, asked, Position(last.load(Ordering::Relaxed)));
                    // No two callers are at the same course, so that a refusal, which costs less, would be a mistake.
                    let appended = store.append(append).await.expect("nothing has come in between");
                    last.fetch_max(appended.position.0, Ordering::Relaxed);
                }
            }
        });
        bench
            .compare(format!("{name}: append with two tags after {events} events, callers: {callers}"))
            .of("on what came since", move |times| at_once(times, callers, fresh.clone()))
            .of("on the whole log", move |times| at_once(times, callers, ever.clone()))
            .beside("on nothing", move |times| at_once(times, callers, nothing.clone()))
            .run();
    }
}

fn append(course: u32, asked: Asked, last: Position) -> Append {
    let event = Subscribed { course, student: Uuid::now_v7() };
    let new = NewEvent::encode(&event, Codec::Json, Metadata::default()).expect("it can be encoded");
    let [of_course, of_student] = [Tag::of("course", &course), Tag::of("student", &event.student)]
        .map(|tag| QueryItem::tagged(tag.expect("a tag")));
    let under = |name: &'static str, item: QueryItem| QueryItem {
        names: vec![EventName::new(name).expect("a name")],
        ..item
    };
    let stream = StreamId::new("course", &course.to_string()).expect("a name");
    let append = Append::to(stream, Expected::Any, vec![new]);
    match asked {
        Asked::Nothing => append,
        Asked::Fresh => {
            let query = EventQuery::of(under("student.subscribed", of_course));
            let query = query.or(under("student.subscribed", of_student));
            append.only_if(Condition { query, after: Checkpoint::from(last), seen: Vec::new() })
        }
        Asked::Ever => {
            let query =
                EventQuery::of(under("course.closed", of_course)).or(under("student.left", of_student));
            append.only_if(Condition::nothing_matches(query))
        }
    }
}
