-- Where a partition of a subscription is, and the last event of the log at or below that.
-- $1 subscription, $2 partition. The answer may be that of another partition: if the work is split otherwise, that is told.
SELECT
    c.partition,
    c.partitions,
    c.position,
    c.event_id,
    c.token,
    -- Whether somebody has it now.
    c.node IS NOT NULL AND c.leased_until > clock_timestamp() AS "is_leased!",
    c.node IS NOT NULL AS "has_holder!",
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
ORDER BY c.partition <> $2, c.partition
LIMIT 1
