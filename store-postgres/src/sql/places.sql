-- Where events are or were.
SELECT e.event_id AS "event_id!", e.category AS "category!", e.stream AS "stream!", e.version AS "version!",
    e.position AS "position!", e.recorded_at AS "recorded_at!"
FROM unnest($1::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    (
        SELECT event_id, category, stream, version, position, recorded_at
        FROM factum_events WHERE event_id = asked.id LIMIT 1
    )
    UNION ALL
    (
        SELECT event_id, category, stream, version, position, recorded_at
        FROM factum_archive WHERE event_id = asked.id LIMIT 1
    )
) AS e
