-- Waits for whoever takes it at the same time, and then finds it or not.
DELETE FROM factum_timers WHERE process = $1 AND event_id = $2
