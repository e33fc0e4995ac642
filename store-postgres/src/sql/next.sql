-- What others have appended behind a settled position: first a row whose metadata say which server this is; then the event at
-- that position, without its content, and those that come after it.
-- $1 the position, $2 the most events.
SELECT
    NULL::bigint AS position, NULL::uuid AS event_id, NULL::text AS category, NULL::text AS stream,
    NULL::bigint AS version, NULL::text AS name, NULL::integer AS schema_version, NULL::text AS codec,
    NULL::bytea AS payload,
    json_build_object('server', pg_postmaster_start_time(), 'is_replica', pg_is_in_recovery())::text AS metadata,
    NULL::timestamptz AS recorded_at
UNION ALL
(
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec,
        CASE WHEN position > $1 THEN payload ELSE '' END AS payload,
        metadata, recorded_at
    FROM factum_events
    WHERE position >= $1
    ORDER BY position
    LIMIT $2
)
