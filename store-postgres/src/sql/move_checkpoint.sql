-- Moves a checkpoint from $2 (with the event $3) to $4 (with the event $5), if it is there and both are of this log.
-- Answers which events the log has at both places.
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
    INSERT INTO factum_checkpoints AS c (subscription, position, event_id)
    SELECT $1, $4, coalesce($5, found_to)
    FROM checked
    WHERE ($3::uuid IS NULL OR $3 = found_from)
        AND ($5::uuid IS NULL OR $5 = found_to)
        AND ($2 = 0 OR EXISTS (SELECT FROM factum_checkpoints WHERE subscription = $1))
    ON CONFLICT (subscription) DO UPDATE
    SET position = excluded.position, event_id = excluded.event_id, moved_at = clock_timestamp()
    WHERE c.position = $2
    RETURNING true AS is_moved
)
SELECT
    coalesce((SELECT is_moved FROM moved), false) AS "is_moved!",
    found_from,
    found_to,
    -- Whether the transaction has appended something.
    coalesce(current_setting('factum.has_appended', true) = 'yes', false) AS "has_appended!"
FROM checked
