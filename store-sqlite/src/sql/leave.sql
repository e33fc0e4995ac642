-- ?1: subscription, ?2: node. Gives back all its leases; it is gone.
BEGIN IMMEDIATE;

DELETE FROM factum_nodes WHERE subscription = ?1 AND node = ?2;

UPDATE factum_checkpoints SET node = NULL, leased_until = NULL WHERE subscription = ?1 AND node = ?2;

COMMIT;
