-- Who shares the work of a subscription: makes its partitions where there are none, and answers with them and with the nodes.
-- $1 subscription, $2 how many partitions. Rows with an index are partitions, the others are nodes.
WITH made AS (
    INSERT INTO factum_checkpoints (subscription, partition, partitions, position)
    SELECT $1, index, $2, 0
    FROM generate_series(0, $2 - 1) AS made (index)
    WHERE NOT EXISTS (SELECT FROM factum_checkpoints WHERE subscription = $1)
    ON CONFLICT DO NOTHING
    RETURNING partition, partitions
)
SELECT
    partition AS index, partitions, token, node, leased_until AS until, clock_timestamp() AS "now!"
FROM factum_checkpoints
WHERE subscription = $1
UNION ALL
SELECT partition, partitions, 0, NULL, NULL, clock_timestamp() FROM made
UNION ALL
SELECT NULL, NULL, NULL, node, there_until, clock_timestamp() FROM factum_nodes WHERE subscription = $1
