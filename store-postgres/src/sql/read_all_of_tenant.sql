-- A page of the feed of one tenant, in the form of `read_all.sql`: the same first row, and then the events.
-- $1 a settled position, $2 after this position, $3 how many events of the tenant to look at, $9 the most events.
-- $10 whether to say which event the log has at or below $2. $11 the outermost tenant, $12 what categories begin with.
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
found AS MATERIALIZED (
    SELECT f.position
    FROM head
    CROSS JOIN LATERAL factum_of_tenant($11, $12, $2, head.settled, $3) AS f (position)
),
bounds AS MATERIALIZED (
    SELECT
        last,
        settled,
        -- If there is less than was to be looked at, that is all up to what is settled.
        CASE WHEN (SELECT count(*) FROM found) < $3 THEN settled ELSE (SELECT max(position) FROM found) END AS upper
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
        factum_event_at(upper) AS upper_id,
        CASE WHEN $10 THEN factum_event_at($2) END AS after_id,
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
FROM (
    SELECT log.*
    FROM found
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
    ) AS log
    WHERE ($4::text[] IS NULL OR log.category = ANY ($4))
        AND ($5::text[] IS NULL OR (log.category, log.stream) IN (SELECT * FROM unnest($5::text[], $6::text[])))
        AND ($7::text[] IS NULL OR log.name = ANY ($7))
        AND ($8::text IS NULL OR (factum_jsonb(convert_to(log.metadata, 'UTF8')) -> 'fields' @> $8::jsonb) IS NOT FALSE)
    ORDER BY log.position
    LIMIT $9
) AS e
