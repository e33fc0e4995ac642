-- The position of the last event. An archived stream ends in use.
SELECT coalesce(max(position), 0) AS "head!" FROM factum_events
