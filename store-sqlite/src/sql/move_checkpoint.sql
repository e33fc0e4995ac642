-- ?1: subscription; ?2: from, with the event ?4 or null; ?3: to, with the event ?5 or null. Run in a transaction: answers
-- where the checkpoint was, and which events the log has at or below both places; and moves it if it was there and both
-- are of this log.
SELECT
    coalesce((SELECT position FROM factum_checkpoints WHERE subscription = ?1), 0) AS was,
    (
        SELECT event_id
        FROM (
            SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?2 ORDER BY position DESC LIMIT 1)
            UNION ALL
            SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?2 ORDER BY position DESC LIMIT 1)
        )
        ORDER BY position DESC
        LIMIT 1
    ) AS found_from,
    (
        SELECT event_id
        FROM (
            SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
            UNION ALL
            SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
        )
        ORDER BY position DESC
        LIMIT 1
    ) AS found_to;

INSERT INTO factum_checkpoints (subscription, position, event_id)
SELECT ?1, ?3, coalesce(?5, found_to)
FROM (
    SELECT
        coalesce((SELECT position FROM factum_checkpoints WHERE subscription = ?1), 0) AS was,
        (
            SELECT event_id
            FROM (
                SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?2 ORDER BY position DESC LIMIT 1)
                UNION ALL
                SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?2 ORDER BY position DESC LIMIT 1)
            )
            ORDER BY position DESC
            LIMIT 1
        ) AS found_from,
        (
            SELECT event_id
            FROM (
                SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
                UNION ALL
                SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
            )
            ORDER BY position DESC
            LIMIT 1
        ) AS found_to
)
WHERE ?2 = was AND (?4 IS NULL OR ?4 IS found_from) AND (?5 IS NULL OR ?5 IS found_to)
ON CONFLICT (subscription) DO UPDATE SET position = excluded.position, event_id = excluded.event_id;
