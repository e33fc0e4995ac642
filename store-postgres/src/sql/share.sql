-- Writes down what a heartbeat has changed. A partition that somebody else has changed meanwhile stays as it is, and is not
-- among those that are answered. $1 subscription; $2 the node, $3 until when it is there.
-- Arrays: $4 partitions, $5 the tokens they had, $6 the holders they had, $7 until when; $8 to $10 what they have now.
WITH gone AS (
    DELETE FROM factum_nodes WHERE subscription = $1 AND there_until <= clock_timestamp() AND node <> $2
),
here AS (
    INSERT INTO factum_nodes (subscription, node, there_until)
    VALUES ($1, $2, $3)
    ON CONFLICT (subscription, node) DO UPDATE SET there_until = excluded.there_until
)
UPDATE factum_checkpoints AS c
SET token = n.token, node = n.node, leased_until = n.until
FROM unnest(
    $4::integer[], $5::bigint[], $6::uuid[], $7::timestamptz[], $8::bigint[], $9::uuid[], $10::timestamptz[]
) AS n (index, old_token, old_node, old_until, token, node, until)
WHERE c.subscription = $1
    AND c.partition = n.index
    AND c.token = n.old_token
    AND c.node IS NOT DISTINCT FROM n.old_node
    AND c.leased_until IS NOT DISTINCT FROM n.old_until
RETURNING c.partition
