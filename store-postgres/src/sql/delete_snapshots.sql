DELETE FROM factum_snapshots WHERE category = $1 AND stream = $2
