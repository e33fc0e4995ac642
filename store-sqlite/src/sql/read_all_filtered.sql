-- ?1: after this position, ?2: the most rows, ?3: up to this position.
-- ?4: categories, ?5: pairs of category and id, ?6: names; JSON arrays, each null where everything passes.
-- One statement is one snapshot, so the head in the last row belongs to the rows before it.
SELECT * FROM (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    -- Without the hint the planner walks through the table, and so through all payloads that do not pass.
    FROM factum_events INDEXED BY factum_events_feed
    WHERE position > ?1
      AND position <= ?3
      AND (?4 IS NULL OR category IN (SELECT value FROM json_each(?4)))
      AND (?5 IS NULL OR (category, stream) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?5)))
      AND (?6 IS NULL OR name IN (SELECT value FROM json_each(?6)))
    ORDER BY position
    LIMIT ?2
)
UNION ALL
SELECT coalesce(max(position), 0), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM factum_events;
