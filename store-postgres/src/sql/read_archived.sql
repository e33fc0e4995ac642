SELECT position, event_id, category, stream, version, name AS "name!", schema_version AS "schema_version!",
    codec AS "codec!", payload AS "payload!", metadata AS "metadata!", recorded_at
FROM factum_archive
WHERE category = $1 AND stream = $2 AND version > $3 AND name IS NOT NULL
ORDER BY version
LIMIT $4
