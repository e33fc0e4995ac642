-- The state from which a stream is read, in one row, and then the events that come after it.
-- $1 category, $2 id, $3 the most events, $4 an event that the state must not have;
-- the snapshot of the shape $5, if its version is at most $6; or
-- the state that the caller has: $7 its version, $8 its event, $9 where the stream began.
WITH known AS MATERIALIZED (
    SELECT version, position, event_id, begins, codec, checksum, state
    FROM factum_snapshots
    WHERE category = $1 AND stream = $2 AND shape = $5 AND version <= $6
    UNION ALL
    SELECT $7::bigint, 0, $8::uuid, $9::bigint, NULL, NULL, NULL
    WHERE $7 IS NOT NULL
),
start AS MATERIALIZED (
    SELECT
        known.*,
        EXISTS (
            SELECT FROM factum_events AS e
            WHERE e.category = $1 AND e.stream = $2 AND e.version = known.version AND e.event_id = known.event_id
        ) AND known.begins = (
            SELECT CASE e.name WHEN 'factum.truncated' THEN e.version ELSE 0 END
            FROM factum_events AS e
            WHERE e.category = $1 AND e.stream = $2
            ORDER BY e.version
            LIMIT 1
        ) AS stands,
        EXISTS (
            SELECT FROM factum_events AS e
            WHERE e.event_id = $4 AND e.category = $1 AND e.stream = $2 AND e.version <= known.version
        ) AS has_event
    FROM known
)
SELECT
    start.version AS known_version, start.position AS known_position, start.event_id AS known_id, start.begins,
    start.codec AS known_codec, start.checksum, start.state, start.stands, start.has_event,
    NULL::bigint AS position, NULL::uuid AS event_id, NULL::text AS category, NULL::text AS stream,
    NULL::bigint AS version, NULL::text AS name, NULL::integer AS schema_version, NULL::text AS codec,
    NULL::bytea AS payload, NULL::text AS metadata, NULL::timestamptz AS recorded_at
FROM (SELECT) AS one
LEFT JOIN start ON true
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.*
FROM (
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
    FROM factum_events
    WHERE category = $1 AND stream = $2
        AND version > coalesce((SELECT start.version FROM start WHERE start.stands AND NOT start.has_event), 0)
    ORDER BY version
    LIMIT $3
) AS e
