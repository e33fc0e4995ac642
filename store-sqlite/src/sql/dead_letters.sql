-- ?1: subscription, ?2: after this position, ?3 and ?4: category and id of a stream, or null for all, ?5: the most rows.
SELECT
    position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due, parked_at
FROM factum_dead_letters
WHERE subscription = ?1 AND position > ?2 AND (?3 IS NULL OR (category = ?3 AND stream = ?4))
ORDER BY position
LIMIT ?5 + 0;
