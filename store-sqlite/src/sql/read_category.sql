-- ?1: category, ?2: after this id, ?3: the most rows. From stream to stream, without a look at the events between.
WITH RECURSIVE streams (stream) AS (
    SELECT min(stream) FROM factum_events WHERE category = ?1 AND stream > ?2
    UNION ALL
    SELECT (SELECT min(e.stream) FROM factum_events AS e WHERE e.category = ?1 AND e.stream > s.stream)
    FROM streams AS s
    WHERE s.stream IS NOT NULL
)
SELECT
    s.stream,
    (SELECT max(e.version) FROM factum_events AS e WHERE e.category = ?1 AND e.stream = s.stream)
FROM streams AS s
WHERE s.stream IS NOT NULL
LIMIT ?3 + 0;
