-- What follows a settled position, and who may still fill its holes. See `feed.rs`.
-- The rows are of one snapshot; the list of locks is read afterwards, and only where there is a hole.
WITH next AS MATERIALIZED (
    SELECT position, position - row_number() OVER (ORDER BY position) AS distance
    FROM factum_events
    WHERE position > $1 AND position <= $1 + 1000
),
head AS MATERIALIZED (
    SELECT
        coalesce((SELECT max(position) FROM factum_events), 0) AS last,
        $1 + (SELECT count(*) FROM next WHERE distance = $1) AS settled
)
SELECT
    last AS "last!",
    settled AS "settled!",
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
    pg_postmaster_start_time() AS "server!",
    pg_is_in_recovery() AS "is_replica!"
FROM head
