SELECT position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
FROM factum_events
WHERE category = $1 AND stream = $2 AND version < $3
ORDER BY version DESC
LIMIT $4
