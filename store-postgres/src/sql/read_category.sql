-- From stream to stream, without a look at the events between.
WITH RECURSIVE streams AS (
    (SELECT stream FROM factum_events WHERE category = $1 AND stream > $2 ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT e.stream FROM factum_events AS e WHERE e.category = $1 AND e.stream > s.stream ORDER BY e.stream LIMIT 1)
    FROM streams AS s
    WHERE s.stream IS NOT NULL
)
SELECT
    stream AS "stream!",
    (
        SELECT e.version
        FROM factum_events AS e
        WHERE e.category = $1 AND e.stream = s.stream
        ORDER BY e.version DESC
        LIMIT 1
    ) AS "version!"
FROM streams AS s
WHERE stream IS NOT NULL
LIMIT $3
