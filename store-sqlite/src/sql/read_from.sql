-- The state from which a stream is read, in one row, and the events that come after it.
-- ?1: category, ?2: id, ?3: the most rows, ?4: an event that the state must not have, or null;
-- the snapshot of the shape ?5, if its version is at most ?6, or
-- the state that the caller has: ?7 its version, ?8 its event, ?9 the version of the event with which the stream began, or 0.
WITH known AS (
    SELECT version, position, event_id, begins, codec, checksum, state
    FROM factum_snapshots
    WHERE category = ?1 AND stream = ?2 AND shape = ?5 AND version <= ?6
    UNION ALL
    SELECT ?7, 0, ?8, ?9, '', 0, x''
    WHERE ?7 IS NOT NULL
),
start AS MATERIALIZED (
    SELECT
        known.*,
        EXISTS (
            SELECT 1 FROM factum_events AS e
            WHERE e.category = ?1 AND e.stream = ?2 AND e.version = known.version AND e.event_id = known.event_id
        ) AND begins = (
            SELECT iif(e.name = 'factum.truncated', e.version, 0)
            FROM factum_events AS e
            WHERE e.category = ?1 AND e.stream = ?2
            ORDER BY e.version
            LIMIT 1
        ) AS stands,
        EXISTS (
            SELECT 1 FROM factum_events AS e
            WHERE e.event_id = ?4 AND e.category = ?1 AND e.stream = ?2 AND e.version <= known.version
        ) AS has_event
    FROM known
),
page AS (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, '' AS category, '' AS stream
    FROM factum_events
    WHERE category = ?1 AND stream = ?2
        AND version > coalesce((SELECT version FROM start WHERE stands AND NOT has_event), 0)
    ORDER BY version
    LIMIT ?3 + 0
),
facts AS (
    SELECT
        start.position, start.event_id, start.version, NULL AS name, start.begins AS schema_version, start.codec,
        start.checksum AS recorded_at, NULL AS metadata, start.state AS payload, start.stands, start.has_event
    FROM (SELECT 1) LEFT JOIN start
)
