INSERT INTO factum_timers (process, event_id, due_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
