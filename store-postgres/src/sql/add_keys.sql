-- Arrays, one element for each key. In the order of their subjects, so that two who add the same ones do not wait for each other in a
-- circle.
INSERT INTO factum_keys (subject, generation, master, wrapped)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[]) AS k (subject, generation, master, wrapped)
ORDER BY subject COLLATE "C"
ON CONFLICT DO NOTHING
