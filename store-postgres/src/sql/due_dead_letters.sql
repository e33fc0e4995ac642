-- The dead letters that are to be handled again and wait behind no other.
SELECT
    position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due, parked_at
FROM factum_dead_letters AS l
WHERE subscription = $1
    AND is_due
    AND NOT EXISTS (
        SELECT
        FROM factum_dead_letters AS before
        WHERE l.holds_stream
            AND before.holds_stream
            AND before.subscription = l.subscription
            AND before.category = l.category
            AND before.stream = l.stream
            AND before.position < l.position
    )
ORDER BY position
LIMIT $2
