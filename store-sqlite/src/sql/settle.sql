-- ?1: subscription, ?2: a JSON array of the positions of dead letters that are done with.
DELETE FROM factum_dead_letters WHERE subscription = ?1 AND position IN (SELECT value FROM json_each(?2));
