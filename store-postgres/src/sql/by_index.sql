-- For the rest of the transaction: what it has just written has no statistics yet, by which the planner could know that each
-- page is best read along an index.
SELECT set_config(name, 'off', true) AS "off!"
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'jit']) AS settings (name)
