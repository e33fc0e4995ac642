-- ?1: subscription; ?2: from, with the event ?4 or null; ?3: to, with the event ?5 or null; ?6: partition, of ?7; ?8: the
-- token of its lease, or null where nobody may have one now, which is ?9. Run in a transaction: answers where the checkpoint
-- was, which events the log has at or below both places, in how many partitions the work is split, and whether the lease is
-- as it must be; and moves it if it was there, both places are of this log, and the rest holds.
SELECT
    coalesce((SELECT position FROM factum_checkpoints WHERE subscription = ?1 AND partition = ?6), 0) AS was,
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
    ) AS found_to,
    coalesce((SELECT partitions FROM factum_checkpoints WHERE subscription = ?1 LIMIT 1), ?7) AS partitions,
    CASE
        WHEN ?8 IS NULL THEN NOT EXISTS (
            SELECT 1
            FROM factum_checkpoints
            WHERE subscription = ?1 AND partition = ?6 AND node IS NOT NULL AND leased_until > ?9
        )
        ELSE EXISTS (
            SELECT 1
            FROM factum_checkpoints
            WHERE subscription = ?1 AND partition = ?6 AND node IS NOT NULL AND token = ?8
        )
    END AS may_move;

INSERT INTO factum_checkpoints (subscription, partition, partitions, position, event_id)
SELECT ?1, ?6, ?7, ?3, coalesce(?5, found_to)
FROM (
    SELECT
        coalesce((SELECT position FROM factum_checkpoints WHERE subscription = ?1 AND partition = ?6), 0) AS was,
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
        ) AS found_to,
        coalesce((SELECT partitions FROM factum_checkpoints WHERE subscription = ?1 LIMIT 1), ?7) AS partitions,
        CASE
            WHEN ?8 IS NULL THEN NOT EXISTS (
                SELECT 1
                FROM factum_checkpoints
                WHERE subscription = ?1 AND partition = ?6 AND node IS NOT NULL AND leased_until > ?9
            )
            ELSE EXISTS (
                SELECT 1
                FROM factum_checkpoints
                WHERE subscription = ?1 AND partition = ?6 AND node IS NOT NULL AND token = ?8
            )
        END AS may_move
)
WHERE ?2 = was
    AND (?4 IS NULL OR ?4 IS found_from)
    AND (?5 IS NULL OR ?5 IS found_to)
    AND partitions = ?7
    AND may_move
ON CONFLICT (subscription, partition) DO UPDATE SET position = excluded.position, event_id = excluded.event_id;
