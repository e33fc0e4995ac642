-- ?1: subscription. Where it is, and the event that the log has at or below that.
SELECT
    c.position,
    c.event_id,
    (
        SELECT event_id
        FROM (
            SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= c.position ORDER BY position DESC LIMIT 1)
            UNION ALL
            SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= c.position ORDER BY position DESC LIMIT 1)
        )
        ORDER BY position DESC
        LIMIT 1
    )
FROM factum_checkpoints AS c
WHERE c.subscription = ?1;
