-- ?1: category, ?2: id. The last event of a stream.
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload
FROM factum_events
WHERE category = ?1 AND stream = ?2
ORDER BY version DESC
LIMIT 1;
