-- Who holds the lock of appends, the longest first. A prepared transaction has no process; that its locks are its own is known by
-- the name that they have in common, and its name by the lock on its number.
SELECT
    l.virtualtransaction AS "virtual_transaction!",
    l.pid,
    coalesce(p.prepared, a.xact_start) AS since,
    (1000 * extract(epoch FROM clock_timestamp() - coalesce(p.prepared, a.xact_start)))::bigint AS age_ms,
    a.state,
    a.application_name,
    p.gid AS prepared
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN LATERAL (
    SELECT x.gid, x.prepared
    FROM pg_catalog.pg_locks AS own
    JOIN pg_catalog.pg_prepared_xacts AS x ON x.transaction = own.transactionid
    WHERE own.locktype = 'transactionid' AND own.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
    LIMIT 1
) AS p ON l.pid IS NULL
WHERE l.locktype = 'advisory'
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
    AND l.classid = 1717658484
    AND l.objid = 'factum_events'::regclass
    AND l.objsubid = 2
    AND l.granted
ORDER BY since
