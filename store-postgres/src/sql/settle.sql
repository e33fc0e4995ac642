-- Takes dead letters away that are done with.
DELETE FROM factum_dead_letters WHERE subscription = $1 AND position = ANY ($2::bigint[])
