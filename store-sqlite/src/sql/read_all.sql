-- ?1: after this position, ?2: the most rows.
-- One statement is one snapshot, so the head in the last row belongs to the rows before it.
WITH page AS (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM factum_events
    WHERE position > ?1
    UNION ALL
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM factum_archive
    WHERE position > ?1 AND name IS NOT NULL
    ORDER BY position
    LIMIT ?2 + 0
),
-- The head, and the last event at or below ?1.
facts AS (
    SELECT
        coalesce((SELECT max(position) FROM factum_events), 0),
        (
            SELECT event_id
            FROM (
                SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?1 ORDER BY position DESC LIMIT 1)
                UNION ALL
                SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?1 ORDER BY position DESC LIMIT 1)
            )
            ORDER BY position DESC
            LIMIT 1
        ),
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
)
