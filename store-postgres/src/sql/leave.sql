-- Gives back all leases of a node, which is gone.
WITH gone AS (
    DELETE FROM factum_nodes WHERE subscription = $1 AND node = $2
)
UPDATE factum_checkpoints SET node = NULL, leased_until = NULL WHERE subscription = $1 AND node = $2
