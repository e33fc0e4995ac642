SELECT subject, generation, master, wrapped FROM factum_keys WHERE subject > $1 ORDER BY subject LIMIT $2
