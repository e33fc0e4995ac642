-- Where a subscription is, and the last event of the log at or below that.
SELECT
    c.position,
    c.event_id,
    (
        SELECT event_id
        FROM (
            (SELECT position, event_id FROM factum_events WHERE position <= c.position ORDER BY position DESC LIMIT 1)
            UNION ALL
            (SELECT position, event_id FROM factum_archive WHERE position <= c.position ORDER BY position DESC LIMIT 1)
        ) AS at_or_below
        ORDER BY position DESC
        LIMIT 1
    ) AS found
FROM factum_checkpoints AS c
WHERE c.subscription = $1
