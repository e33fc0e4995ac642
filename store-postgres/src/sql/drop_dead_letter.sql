DELETE FROM factum_dead_letters WHERE subscription = $1 AND position = $2
