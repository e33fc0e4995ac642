-- The timers of a process that are due, and the first that is not.
(SELECT event_id, due_at, due_at <= now() AS "is_due!", now() AS "now!"
 FROM factum_timers
 WHERE process = $1 AND due_at <= now()
 ORDER BY due_at
 LIMIT $2)
UNION ALL
(SELECT event_id, due_at, false, now()
 FROM factum_timers
 WHERE process = $1 AND due_at > now()
 ORDER BY due_at
 LIMIT 1)
