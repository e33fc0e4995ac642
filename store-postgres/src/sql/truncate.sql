SELECT last_version, closed_by FROM factum_truncate_and_forget($1, $2, $3, $4)
