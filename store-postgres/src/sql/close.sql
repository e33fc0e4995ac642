SELECT at_position, at_time, last_version, closed_by FROM factum_close_and_forget($1, $2, $3, $4, $5, $6)
