-- Appends one event, unless something speaks against it, or may: then there is no row, and `factum_append` is to be asked.
--
-- That function looks in a snapshot that is younger than the lock of appends. A plain statement's is older, and is enough:
--
-- - What others append to the stream meanwhile has the version that is about to be written here, or is recorded with its id:
--   a constraint refuses one of the two.
-- - Whoever takes events out of the log, or puts some in, has the lock to himself, and leaves the id of his transaction in
--   `factum_alone` before he lets go of it. That is read when the lock is held, and a sequence says what is, not what was. If the
--   snapshot has what the last of them did, it has what all of them did.
--
-- A position is drawn when the locks are held, as always. They are not waited for: the function does that.
INSERT INTO factum_events AS recorded
    (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
SELECT
    nextval('factum_position'), coalesce(last.version, 0) + 1, clock_timestamp(), $6, $8, $3, $4, $7, $9, $10, $11
FROM (
    SELECT CASE
        WHEN current_setting('transaction_isolation') <> 'read committed' THEN false
        WHEN current_setting('synchronous_commit') = 'off' AND set_config('synchronous_commit', 'on', true) IS NULL
            THEN false
        WHEN set_config('lock_timeout', $1::integer::text, true) IS NULL THEN false
        WHEN NOT pg_try_advisory_xact_lock_shared(1717658484, 'factum_events'::regclass::oid::integer) THEN false
        ELSE pg_try_advisory_xact_lock_shared(1717658485, $2 # 'factum_events'::regclass::oid::integer)
    END AS is_held
    -- Not to be looked into from outside: it is asked once.
    OFFSET 0
) AS begun
LEFT JOIN LATERAL (
    SELECT e.version, e.name
    FROM factum_events AS e
    WHERE e.category = $3 AND e.stream = $4
    ORDER BY e.version DESC
    LIMIT 1
) AS last ON true
WHERE begun.is_held
    AND (
        SELECT pg_visible_in_snapshot(a.last_value::text::xid8, pg_current_snapshot())
        FROM factum_alone AS a
        -- So that it is read afterwards.
        WHERE begun.is_held
    )
    AND CASE $5::bigint
        WHEN -2 THEN true
        WHEN -1 THEN last.version > 0
        ELSE coalesce(last.version, 0) = $5
    END
    AND coalesce(last.version < 9223372036854775807, true)
    AND coalesce(last.name NOT IN ('factum.deleted', 'factum.archived'), true)
    AND NOT EXISTS (SELECT FROM factum_archive AS e WHERE e.event_id = $6)
RETURNING
    recorded.position,
    recorded.recorded_at,
    recorded.version,
    -- What is drawn below an event is refused: see migration 3.
    CASE
        WHEN recorded.position <= (SELECT max(e.position) FROM factum_events AS e)
        THEN factum_refuse_position(recorded.position, (SELECT max(e.position) FROM factum_events AS e))
    END AS refused
