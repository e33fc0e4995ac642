-- ?1: subscription, ?2: from, ?3: to. Run in a transaction: answers where the checkpoint was, and moves it if that
-- was ?2.
SELECT position FROM factum_checkpoints WHERE subscription = ?1;

INSERT INTO factum_checkpoints (subscription, position)
SELECT ?1, ?3
WHERE ?2 = coalesce((SELECT position FROM factum_checkpoints WHERE subscription = ?1), 0)
ON CONFLICT (subscription) DO UPDATE SET position = excluded.position;
