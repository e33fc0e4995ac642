-- The dead letters of a subscription after a position, of one stream where $3 and $4 are given.
SELECT
    position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due, parked_at
FROM factum_dead_letters
WHERE subscription = $1
    AND position > $2
    AND ($3::text IS NULL OR (category = $3 AND stream = $4))
ORDER BY position
LIMIT $5
