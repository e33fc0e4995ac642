SELECT position FROM factum_checkpoints WHERE subscription = $1
