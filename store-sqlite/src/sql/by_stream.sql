-- All that is held, stream by stream: after ?1 the category, ?2 the id and ?3 the version, ?4: the most rows.
-- The last column says whether the log has the version or the id of an archived or erased event twice. Within each table, a
-- constraint knows.
SELECT category, stream, version, position, name, 0, 0
FROM factum_events
WHERE (category, stream, version) > (?1, ?2, ?3)
UNION ALL
SELECT
    a.category, a.stream, a.version, a.position, a.name, 1,
    EXISTS (SELECT 1 FROM factum_events AS e WHERE e.event_id = a.event_id)
        OR EXISTS (
            SELECT 1 FROM factum_events AS e
            WHERE e.category = a.category AND e.stream = a.stream AND e.version = a.version
        )
FROM factum_archive AS a
WHERE (a.category, a.stream, a.version) > (?1, ?2, ?3)
ORDER BY 1, 2, 3
LIMIT ?4 + 0;
