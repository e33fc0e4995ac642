-- The first move: there is no row yet, or one that was put back to the start.
INSERT INTO factum_checkpoints AS c (subscription, position) VALUES ($1, $2)
ON CONFLICT (subscription) DO UPDATE SET position = excluded.position, moved_at = clock_timestamp() WHERE c.position = 0
