-- ?1: subscription; ?2: a JSON array of the partitions, in their order, each with its token, the holder's id in hexadecimal and
-- until when; ?3: the same of the nodes. Writes them down, and ends the transaction.
UPDATE factum_checkpoints
SET token = (SELECT value ->> 'token' FROM json_each(?2) WHERE key = partition),
    node = (SELECT unhex(value ->> 'node') FROM json_each(?2) WHERE key = partition),
    leased_until = (SELECT value ->> 'until' FROM json_each(?2) WHERE key = partition)
WHERE subscription = ?1;

DELETE FROM factum_nodes WHERE subscription = ?1;

INSERT INTO factum_nodes (subscription, node, there_until)
SELECT ?1, unhex(value ->> 'node'), value ->> 'until' FROM json_each(?3);

COMMIT;
