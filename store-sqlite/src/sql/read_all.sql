-- ?1: after this position, ?2: the most rows.
-- One statement is one snapshot, so the head in the last row belongs to the rows before it.
SELECT * FROM (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM factum_events
    WHERE position > ?1
    UNION ALL
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM factum_archive
    WHERE position > ?1 AND name IS NOT NULL
    ORDER BY position
    LIMIT ?2
)
UNION ALL
SELECT coalesce(max(position), 0), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM factum_events;
