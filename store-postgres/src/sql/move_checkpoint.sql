-- Moves a checkpoint from $2 (with the event $3) to $4 (with the event $5), if it is there and both are of this log.
-- Answers which events the log has at both places.
-- $6 the partition, $7 of how many, $8 the token of its lease, or null where nobody may have one.
WITH log AS MATERIALIZED (
    SELECT
        (
            SELECT event_id
            FROM (
                (SELECT position, event_id FROM factum_events WHERE position <= at ORDER BY position DESC LIMIT 1)
                UNION ALL
                (SELECT position, event_id FROM factum_archive WHERE position <= at ORDER BY position DESC LIMIT 1)
            ) AS at_or_below
            ORDER BY position DESC
            LIMIT 1
        ) AS found,
        place
    FROM unnest(ARRAY[$2::bigint, $4::bigint]) WITH ORDINALITY AS asked (at, place)
),
checked AS MATERIALIZED (
    SELECT
        (SELECT found FROM log WHERE place = 1) AS found_from,
        (SELECT found FROM log WHERE place = 2) AS found_to
),
moved AS (
    INSERT INTO factum_checkpoints AS c (subscription, partition, partitions, position, event_id)
    SELECT $1, $6, $7, $4, coalesce($5, found_to)
    FROM checked
    WHERE ($3::uuid IS NULL OR $3 = found_from)
        AND ($5::uuid IS NULL OR $5 = found_to)
        AND ($2 = 0 OR EXISTS (SELECT FROM factum_checkpoints WHERE subscription = $1 AND partition = $6))
        AND ($8::bigint IS NULL OR EXISTS (SELECT FROM factum_checkpoints WHERE subscription = $1 AND partition = $6))
        AND NOT EXISTS (SELECT FROM factum_checkpoints WHERE subscription = $1 AND partitions <> $7)
    ON CONFLICT (subscription, partition) DO UPDATE
    SET position = excluded.position, event_id = excluded.event_id, moved_at = clock_timestamp()
    WHERE c.position = $2
        AND CASE
            WHEN $8 IS NULL THEN c.node IS NULL OR c.leased_until <= clock_timestamp()
            ELSE c.node IS NOT NULL AND c.token = $8
        END
    RETURNING true AS is_moved
)
SELECT
    coalesce((SELECT is_moved FROM moved), false) AS "is_moved!",
    found_from,
    found_to,
    -- Whether the transaction has appended something.
    coalesce(current_setting('factum.has_appended', true) = 'yes', false) AS "has_appended!"
FROM checked
