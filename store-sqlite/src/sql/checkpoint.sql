-- ?1: subscription, ?2: partition. Where it is, the event that the log has at or below that, and in how many partitions the
-- work is split. The row may be that of another partition, which has the last.
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
    ),
    c.partition,
    c.partitions
FROM factum_checkpoints AS c
WHERE c.subscription = ?1
ORDER BY c.partition <> ?2
LIMIT 1;
