//! Every statement on the hot path finds its rows by an index, in an empty database and in a full one: no table is walked
//! through, and nothing is sorted that grows with the log.

use std::collections::BTreeSet;

use factum_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Row as _};

use crate::support::{execute, file, ready, stranger};

/// A file in `src/sql`, how each table is looked into, and how often something is sorted. A page of events is read in two ways.
macro_rules! statement {
    (page $name:literal, $sorts:literal: $($way:literal),+ $(,)?) => {
        Statement {
            name: $name,
            forms: &[
                concat!(sql!($name), sql!("packed")),
                concat!(sql!($name), sql!("plain")),
            ],
            sorts: $sorts,
            ways: &[$($way),+],
        }
    };
    ($name:literal, $sorts:literal: $($way:literal),+ $(,)?) => {
        Statement { name: $name, forms: &[sql!($name)], sorts: $sorts, ways: &[$($way),+] }
    };
}

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../src/sql/", $name, ".sql"))
    };
}

struct Statement {
    name: &'static str,
    forms: &'static [&'static str],
    /// Never more than the streams of a group, or two rows: the last event of each table, of which one is the last of all.
    sorts: usize,
    /// What SQLite says, once for each different way.
    ways: &'static [&'static str],
}

/// What an append looks up: the last position, the last event of each stream, and each id.
const LOOK_UP: Statement = statement!("look_up_in_tx", 1:
    "SEARCH factum_events USING COVERING INDEX factum_events_feed",
    "SEARCH factum_archive",
    "SEARCH e USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=?)",
    "SEARCH e USING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH e USING INDEX sqlite_autoindex_factum_archive_2 (event_id=?)",
);
/// What an event alone looks at besides: by the same indexes.
const APPEND_ONE: Statement = statement!("append_one", 0:
    "SEARCH factum_events USING COVERING INDEX factum_events_feed",
    "SEARCH factum_archive",
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=?)",
    "SEARCH factum_events USING COVERING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH factum_archive USING COVERING INDEX sqlite_autoindex_factum_archive_2 (event_id=?)",
);
const READ_STREAM: Statement = statement!(page "read_stream", 0:
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=? AND version>?)",
);
const READ_STREAM_BACK: Statement = statement!(page "read_stream_back", 0:
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=? AND version<?)",
);
const READ_FROM: Statement = statement!(page "read_from", 0:
    "SEARCH e USING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH e USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=?)",
    "SEARCH factum_snapshots USING INDEX sqlite_autoindex_factum_snapshots_1 (category=? AND stream=? AND shape=?)",
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=? AND version>?)",
);
const SAVE_SNAPSHOT: Statement = statement!("save_snapshot", 0:
    "SEARCH factum_events EXISTS USING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=?)",
    "SEARCH e USING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH factum_snapshots USING COVERING INDEX sqlite_autoindex_factum_snapshots_1 (category=? AND stream=? AND shape<?)",
    "SEARCH factum_snapshots USING COVERING INDEX sqlite_autoindex_factum_snapshots_1 (category=? AND stream=?)",
);
const READ_ALL: Statement = statement!(page "read_all", 1:
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid>?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid>?)",
    "SEARCH factum_events USING COVERING INDEX factum_events_feed",
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid<?)",
);
const READ_ALL_FILTERED: Statement = statement!(page "read_all_filtered", 2:
    "SEARCH factum_events USING INDEX factum_events_feed (position>? AND position<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    "SEARCH factum_events USING COVERING INDEX factum_events_feed",
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid<?)",
);
/// Of a tenant's events, those that were found are sorted, which are no more than a window.
const READ_ALL_OF_TENANT: Statement = statement!(page "read_all_of_tenant", 4:
    "SEARCH factum_events USING INDEX factum_events_tenant (tenant=? AND position>?)",
    "SEARCH factum_archive USING INDEX factum_archive_tenant (tenant=? AND position>?)",
    "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
    "SEARCH found",
    "SEARCH factum_events USING COVERING INDEX factum_events_feed",
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid<?)",
);
const READ_CATEGORY: Statement = statement!("read_category", 0:
    "SEARCH factum_events USING COVERING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream>?)",
    "SEARCH e USING COVERING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream>?)",
    "SEARCH e USING COVERING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=?)",
);
const FIND_EVENT: Statement = statement!("find_event", 0:
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH factum_archive USING INDEX sqlite_autoindex_factum_archive_2 (event_id=?)",
);
const CHECKPOINT: Statement = statement!("checkpoint", 2:
    "SEARCH c USING PRIMARY KEY (subscription=?)",
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid<?)",
);
const MOVE_CHECKPOINT: Statement = statement!("move_checkpoint", 6:
    "SEARCH factum_checkpoints USING PRIMARY KEY (subscription=?)",
    "SEARCH factum_checkpoints USING PRIMARY KEY (subscription=? AND partition=?)",
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid<?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid<?)",
);
const READ_RECORDS: Statement = statement!("read_records", 0:
    "SEARCH factum_events USING INTEGER PRIMARY KEY (rowid>?)",
    "SEARCH factum_archive USING INTEGER PRIMARY KEY (rowid>?)",
);
/// What an import is checked by.
const BY_STREAM: Statement = statement!("by_stream", 0:
    "SEARCH factum_events USING INDEX sqlite_autoindex_factum_events_1 ((category,stream,version)>(?,?,?))",
    "SEARCH a USING INDEX sqlite_autoindex_factum_archive_1 ((category,stream,version)>(?,?,?))",
    "SEARCH e USING COVERING INDEX sqlite_autoindex_factum_events_2 (event_id=?)",
    "SEARCH e USING COVERING INDEX sqlite_autoindex_factum_events_1 (category=? AND stream=? AND version=?)",
);
const READ_ARCHIVED: Statement = statement!(page "read_archived", 0:
    "SEARCH factum_archive USING INDEX sqlite_autoindex_factum_archive_1 (category=? AND stream=? AND version>?)",
);
const READ_ARCHIVED_BACK: Statement = statement!(page "read_archived_back", 0:
    "SEARCH factum_archive USING INDEX sqlite_autoindex_factum_archive_1 (category=? AND stream=? AND version<?)",
);

/// The plans of the statements of a file, line by line.
async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let code: Vec<_> = sql.lines().map(|line| line.split("--").next().expect("the first part")).collect();
    let mut lines = Vec::new();
    for sql in code.join("\n").split(';').filter(|sql| !sql.trim().is_empty()) {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::raw_sql(explain).fetch_all(&mut *connection).await.expect("explains");
        lines.extend(rows.iter().map(|row| row.get::<String, _>("detail")));
    }
    lines
}

/// What walks through something, and may: what is in the arguments, or a row or two that were found before.
const SMALL: [&str; 15] = [
    // The last event of one stream.
    "SCAN last",
    // What was found already.
    "SCAN page",
    "SCAN facts",
    // What was found of a tenant's events, up to a limit.
    "SCAN found",
    "SCAN bounds",
    // The one state that a stream is read from.
    "SCAN known",
    "SCAN start",
    "SCAN (subquery-",
    "SCAN json_each VIRTUAL TABLE",
    "SCAN s VIRTUAL TABLE",
    "SCAN i VIRTUAL TABLE",
    "SCAN f VIRTUAL TABLE",
    "SCAN m VIRTUAL TABLE",
    "SCAN CONSTANT ROW",
    // One row for each table with AUTOINCREMENT.
    "SCAN sqlite_sequence",
];

/// The streams of a category, as they are found, are walked through once.
fn is_small(line: &str, name: &str) -> bool {
    SMALL.iter().any(|small| line.starts_with(small)) || (name, line) == ("read_category", "SCAN s")
}

async fn assert_planned(connection: &mut SqliteConnection, statement: &Statement) {
    for sql in statement.forms {
        assert_form_planned(connection, statement, sql).await;
    }
}

async fn assert_form_planned(connection: &mut SqliteConnection, statement: &Statement, sql: &str) {
    let plan = plan(connection, sql).await;
    let whole = plan.join("\n");
    let name = statement.name;
    // For a single row it is all one which of the two that are in the order of positions is used.
    let by_position = |line: &String| {
        line.replace("INDEX factum_events_feed (position<?)", "INTEGER PRIMARY KEY (rowid<?)")
    };
    let looks: BTreeSet<_> = plan.iter().filter(|line| line.starts_with("SEARCH")).map(by_position).collect();
    assert_eq!(looks, statement.ways.iter().map(ToString::to_string).collect(), "{name}\n{whole}");
    for line in plan.iter().filter(|line| line.starts_with("SCAN")) {
        assert!(is_small(line, name), "{name}: {line}\n{whole}");
    }
    let sorts = plan.iter().filter(|line| line.contains("TEMP B-TREE")).count();
    assert_eq!(sorts, statement.sorts, "{name}\n{whole}");
}

/// Enough for SQLite to choose otherwise, if it would.
async fn fill(store: &SqliteStore) {
    execute(
        store,
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 19999)
         INSERT INTO factum_events (event_id, category, stream, version, name, schema_version, codec, recorded_at,
                                    metadata, payload)
         SELECT randomblob(16), 'customer', n % 1000, 1 + n / 1000, 'tested', 1, 'json', 0, '{}', x'7b7d' FROM n;
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         INSERT INTO factum_archive (position, event_id, category, stream, version, recorded_at)
         SELECT 100000 + n, randomblob(16), 'parcel', n % 100, 1 + n / 100, 0 FROM n;
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         INSERT INTO factum_snapshots (category, stream, shape, version, position, event_id, begins, codec, checksum, state)
         SELECT 'customer', n, 1, 1, 1, randomblob(16), 0, 'json', 0, x'7b7d' FROM n;
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 1999)
         INSERT INTO factum_checkpoints (subscription, partition, partitions, position) SELECT n, 0, 1, 1 FROM n",
    )
    .await;
}

async fn assert_all_planned(statements: &[Statement]) {
    let (store, dir) = ready().await;
    for statement in statements {
        assert_planned(&mut stranger(&file(&dir)).await, statement).await;
    }
    fill(&store).await;
    for statement in statements {
        assert_planned(&mut stranger(&file(&dir)).await, statement).await;
    }
    stranger(&file(&dir)).await.execute("ANALYZE").await.expect("analyzes");
    for statement in statements {
        assert_planned(&mut stranger(&file(&dir)).await, statement).await;
    }
}

#[tokio::test]
async fn what_an_append_looks_up_is_found_by_an_index() {
    assert_all_planned(&[LOOK_UP, APPEND_ONE]).await;
}

#[tokio::test]
async fn streams_and_events_are_found_by_an_index_and_read_in_its_order() {
    assert_all_planned(&[READ_STREAM, READ_STREAM_BACK, READ_CATEGORY, FIND_EVENT]).await;
}

#[tokio::test]
async fn snapshots_and_what_they_stand_on_are_found_by_an_index() {
    assert_all_planned(&[READ_FROM, SAVE_SNAPSHOT]).await;
}

#[tokio::test]
async fn archived_streams_are_read_in_the_order_of_an_index() {
    assert_all_planned(&[READ_ARCHIVED, READ_ARCHIVED_BACK]).await;
}

#[tokio::test]
async fn the_feed_is_read_by_an_index() {
    assert_all_planned(&[READ_ALL, READ_ALL_FILTERED, READ_ALL_OF_TENANT]).await;
}

#[tokio::test]
async fn checkpoints_are_found_by_an_index() {
    assert_all_planned(&[CHECKPOINT, MOVE_CHECKPOINT]).await;
}

#[tokio::test]
async fn a_whole_store_is_read_by_an_index() {
    assert_all_planned(&[READ_RECORDS, BY_STREAM]).await;
}

/// SQLite looks at a limit to choose a plan, if it can: then it prepares the statement again whenever the argument is bound,
/// which takes longer than most statements.
#[test]
fn no_limit_is_just_an_argument() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql");
    let mut limits = 0;
    for file in std::fs::read_dir(folder).expect("a folder") {
        let sql = std::fs::read_to_string(file.expect("a file").path()).expect("reads");
        for (_, limit) in sql.match_indices("LIMIT ?").map(|(at, _)| sql[at..].split_at(6)) {
            let limit = limit.lines().next().unwrap_or_default();
            assert!(limit.contains(" + 0"), "LIMIT {limit}");
            limits += 1;
        }
    }
    assert!(limits > 10, "{limits}");
}
