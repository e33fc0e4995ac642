UPDATE factum_checkpoints SET position = $3, moved_at = clock_timestamp() WHERE subscription = $1 AND position = $2
