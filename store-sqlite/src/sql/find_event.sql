-- ?1: the event's id.
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
FROM factum_events
WHERE event_id = ?1
UNION ALL
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
FROM factum_archive
WHERE event_id = ?1 AND name IS NOT NULL;
