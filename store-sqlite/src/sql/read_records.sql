-- ?1: after this position, ?2: the most rows. All that is held: events in use, archived ones, and of erased ones what is left.
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream, 0
FROM factum_events
WHERE position > ?1
UNION ALL
SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream, 1
FROM factum_archive
WHERE position > ?1
ORDER BY position
LIMIT ?2 + 0;
