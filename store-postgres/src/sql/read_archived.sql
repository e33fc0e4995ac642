-- An archived stream, forward from after $3 or backward from before $4: one of them is NULL.
SELECT position, event_id, category, stream, version, name AS "name!", schema_version AS "schema_version!",
    codec AS "codec!", payload AS "payload!", metadata AS "metadata!", recorded_at
FROM factum_archive
WHERE category = $1
    AND stream = $2
    AND name IS NOT NULL
    AND ($3::bigint IS NULL OR version > $3)
    AND ($4::bigint IS NULL OR version < $4)
ORDER BY CASE WHEN $4::bigint IS NULL THEN version ELSE -version END
LIMIT $5
