-- The events that match a query: first a row with the id of the last event at or below $4; then the events, in order.
-- $1 the query, see `factum_matching`; $2 after this position; $3 the most events.
SELECT
    factum_event_at($4) AS settled_id,
    NULL::bigint AS position, NULL::uuid AS event_id, NULL::text AS category, NULL::text AS stream,
    NULL::bigint AS version, NULL::text AS name, NULL::integer AS schema_version, NULL::text AS codec,
    NULL::bytea AS payload, NULL::text AS metadata, NULL::timestamptz AS recorded_at
UNION ALL
SELECT
    NULL,
    e.position, e.event_id, e.category, e.stream, e.version, e.name, e.schema_version, e.codec, e.payload, e.metadata,
    e.recorded_at
FROM (
    SELECT DISTINCT m.position
    FROM factum_matching($1::text::jsonb, $2, $3) AS m (position)
    ORDER BY m.position
    LIMIT $3
) AS found
CROSS JOIN LATERAL (
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
    FROM factum_events
    WHERE position = found.position
    UNION ALL
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
    FROM factum_archive
    WHERE position = found.position AND name IS NOT NULL
) AS e
ORDER BY position NULLS FIRST
