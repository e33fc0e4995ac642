SELECT subject, generation, master, wrapped FROM factum_keys WHERE subject = ANY ($1)
