UPDATE factum_dead_letters SET is_due = true WHERE subscription = $1 AND position = $2
