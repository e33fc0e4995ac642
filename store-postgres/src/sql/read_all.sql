-- A page of the feed: first a row whose metadata are what `head.sql` says, and up to where this looks; then the events.
-- They are one JSON text, for a column more would cost something in the row of every event.
-- $1 a settled position, $2 after this position, $3 how many positions to look at, $9 the most events.
-- $10 whether to say which event the log has at or below $2.
-- The filter: where there is no array everything passes; $8 may let too much pass.
WITH next AS MATERIALIZED (
    SELECT position, position - row_number() OVER (ORDER BY position) AS distance
    FROM factum_events
    WHERE position > $1 AND position <= $1 + 1000
),
head AS MATERIALIZED (
    SELECT
        coalesce((SELECT max(position) FROM factum_events), 0) AS last,
        $1 + (SELECT count(*) FROM next WHERE distance = $1) AS settled
),
bounds AS MATERIALIZED (
    SELECT
        last,
        settled,
        -- Where nothing follows, `least` passes over it.
        least(
            settled,
            -- A hole however wide takes no page of its own.
            least(
                (SELECT min(position) FROM factum_events WHERE position > $2),
                (SELECT min(position) FROM factum_archive WHERE position > $2)
            ) + $3 - 1
        ) AS upper
    FROM head
)
SELECT
    NULL::bigint AS position, NULL::uuid AS event_id, NULL::text AS category, NULL::text AS stream,
    NULL::bigint AS version, NULL::text AS name, NULL::integer AS schema_version, NULL::text AS codec,
    NULL::bytea AS payload, row_to_json(first)::text AS metadata, NULL::timestamptz AS recorded_at
FROM (
    SELECT
        last,
        settled,
        upper,
        (
            SELECT event_id
            FROM (
                (SELECT position, event_id FROM factum_events WHERE position <= upper ORDER BY position DESC LIMIT 1)
                UNION ALL
                (SELECT position, event_id FROM factum_archive WHERE position <= upper ORDER BY position DESC LIMIT 1)
            ) AS at_or_below
            ORDER BY position DESC
            LIMIT 1
        ) AS upper_id,
        CASE WHEN $10 THEN (
            SELECT event_id
            FROM (
                (SELECT position, event_id FROM factum_events WHERE position <= $2 ORDER BY position DESC LIMIT 1)
                UNION ALL
                (SELECT position, event_id FROM factum_archive WHERE position <= $2 ORDER BY position DESC LIMIT 1)
            ) AS at_or_below
            ORDER BY position DESC
            LIMIT 1
        ) END AS after_id,
        CASE WHEN settled < last THEN ARRAY(
            SELECT CASE WHEN l.pid IS NULL THEN 'prepared' ELSE l.virtualtransaction END
            FROM pg_catalog.pg_locks AS l
            WHERE l.locktype = 'advisory'
                AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
                AND l.classid = 1717658484
                AND l.objid = 'factum_events'::regclass
                AND l.objsubid = 2
                AND l.granted
        ) END AS holders,
        pg_postmaster_start_time() AS server,
        pg_is_in_recovery() AS is_replica
    FROM bounds
) AS first
UNION ALL
SELECT e.*
FROM bounds
CROSS JOIN LATERAL (
    SELECT *
    FROM (
        SELECT
            position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
        FROM factum_events
        UNION ALL
        SELECT
            position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
        FROM factum_archive
        WHERE name IS NOT NULL
    ) AS log
    WHERE position > $2
        AND position <= bounds.upper
        AND ($4::text[] IS NULL OR category = ANY ($4))
        AND ($5::text[] IS NULL OR (category, stream) IN (SELECT * FROM unnest($5::text[], $6::text[])))
        AND ($7::text[] IS NULL OR name = ANY ($7))
        AND ($8::text IS NULL OR (factum_jsonb(convert_to(metadata, 'UTF8')) -> 'fields' @> $8::jsonb) IS NOT FALSE)
    ORDER BY position
    LIMIT $9
) AS e
