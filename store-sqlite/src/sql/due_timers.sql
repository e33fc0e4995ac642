-- ?1: process, ?2: now, ?3: the most rows. Those that are due, and the first that is not.
SELECT * FROM (
    SELECT event_id, due_at FROM factum_timers WHERE process = ?1 AND due_at <= ?2 ORDER BY due_at LIMIT ?3 + 0
)
UNION ALL
SELECT * FROM (SELECT event_id, due_at FROM factum_timers WHERE process = ?1 AND due_at > ?2 ORDER BY due_at LIMIT 1);
