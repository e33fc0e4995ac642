-- ?1: subscription, ?2: how many partitions. Begins a transaction, and makes the partitions where there are none. Answers with
-- them, and then with the nodes.
BEGIN IMMEDIATE;

INSERT INTO factum_checkpoints (subscription, partition, partitions, position)
WITH RECURSIVE made (partition) AS (SELECT 0 UNION ALL SELECT partition + 1 FROM made WHERE partition + 1 < ?2)
SELECT ?1, partition, ?2, 0
FROM made
WHERE NOT EXISTS (SELECT 1 FROM factum_checkpoints WHERE subscription = ?1);

SELECT partitions, token, node, leased_until FROM factum_checkpoints WHERE subscription = ?1 ORDER BY partition;

SELECT node, there_until FROM factum_nodes WHERE subscription = ?1;
