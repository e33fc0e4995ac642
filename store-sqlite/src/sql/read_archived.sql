-- ?1: category, ?2: id, ?3: after this version, ?4: the most rows. The reader knows the stream.
WITH page AS (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, '' AS category, '' AS stream
    FROM factum_archive
    WHERE category = ?1 AND stream = ?2 AND version > ?3 AND name IS NOT NULL
    ORDER BY version
    LIMIT ?4 + 0
),
facts AS (
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE false
)
