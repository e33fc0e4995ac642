-- ?1: subscription, ?2: the most rows. Those that are to be handled again and wait behind no other.
SELECT
    position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due, parked_at
FROM factum_dead_letters AS l
WHERE subscription = ?1
    AND is_due = 1
    AND (
        holds_stream = 0
        OR NOT EXISTS (
            SELECT 1
            FROM factum_dead_letters AS before
            WHERE before.holds_stream = 1
                AND before.subscription = l.subscription
                AND before.category = l.category
                AND before.stream = l.stream
                AND before.position < l.position
        )
    )
ORDER BY position
LIMIT ?2 + 0;
