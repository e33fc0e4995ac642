-- All that is held, stream by stream, after a category, an id and a version.
-- `is_twice` says whether the log has the version or the id of an archived or erased event twice. Within each table, a
-- constraint knows.
SELECT category AS "category!", stream AS "stream!", version AS "version!", position AS "position!", name AS "name?",
    is_archived AS "is_archived!", is_twice AS "is_twice!"
FROM (
    (
        SELECT category, stream, version, position, name, false AS is_archived, false AS is_twice
        FROM factum_events
        WHERE (category, stream, version) > ($1, $2, $3)
        ORDER BY category, stream, version
        LIMIT $4
    )
    UNION ALL
    (
        SELECT
            a.category, a.stream, a.version, a.position, a.name, true,
            coalesce(
                (SELECT true FROM factum_events AS e WHERE e.event_id = a.event_id),
                (
                    SELECT true
                    FROM factum_events AS e
                    WHERE e.category = a.category AND e.stream = a.stream AND e.version = a.version
                ),
                false
            )
        FROM factum_archive AS a
        WHERE (a.category, a.stream, a.version) > ($1, $2, $3)
        ORDER BY category, stream, version
        LIMIT $4
    )
) AS log
ORDER BY category, stream, version
LIMIT $4
