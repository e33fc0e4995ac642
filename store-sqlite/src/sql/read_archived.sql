-- ?1: category, ?2: id; forward from after ?3 or backward from before ?5, one of them is null; ?4: the most rows.
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload
FROM factum_archive
WHERE category = ?1
  AND stream = ?2
  AND name IS NOT NULL
  AND (?3 IS NULL OR version > ?3)
  AND (?5 IS NULL OR version < ?5)
ORDER BY CASE WHEN ?5 IS NULL THEN version ELSE -version END
LIMIT ?4;
