SELECT last_version, closed_by FROM factum_truncate($1, $2, $3, $4)
