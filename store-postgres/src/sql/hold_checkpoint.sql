-- Holds a checkpoint where it is until the end of the transaction. Others read it, and wait to move it.
-- $1 subscription, $2 partition.
SELECT partition FROM factum_checkpoints WHERE subscription = $1 AND partition = $2 FOR NO KEY UPDATE
