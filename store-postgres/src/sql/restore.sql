SELECT at_position, at_time, last_version, closed_by FROM factum_restore($1, $2, $3, $4)
