-- ?1: after this position, ?2: the most rows, ?3: up to this position.
-- ?4: categories, ?5: pairs of category and id, ?6: names; JSON arrays. ?7: fields, a JSON object.
-- Each is null where everything passes.
-- One statement is one snapshot, so the head in the last row belongs to the rows before it.
WITH page AS (
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    -- Without the hint the planner walks through the table, and so through all payloads that do not pass.
    FROM factum_events INDEXED BY factum_events_feed
    WHERE position > ?1
      AND position <= ?3
      AND (?4 IS NULL OR category IN (SELECT value FROM json_each(?4)))
      AND (?5 IS NULL OR (category, stream) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?5)))
      AND (?6 IS NULL OR name IN (SELECT value FROM json_each(?6)))
      AND (
          ?7 IS NULL
          OR NOT EXISTS (
              SELECT 1
              FROM json_each(?7) AS f
              WHERE NOT EXISTS (
                  SELECT 1 FROM json_each(metadata, '$.fields') AS m WHERE m.key = f.key AND m.value = f.value
              )
          )
      )
    UNION ALL
    SELECT position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM factum_archive
    WHERE position > ?1
      AND name IS NOT NULL
      AND position <= ?3
      AND (?4 IS NULL OR category IN (SELECT value FROM json_each(?4)))
      AND (?5 IS NULL OR (category, stream) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?5)))
      AND (?6 IS NULL OR name IN (SELECT value FROM json_each(?6)))
      AND (
          ?7 IS NULL
          OR NOT EXISTS (
              SELECT 1
              FROM json_each(?7) AS f
              WHERE NOT EXISTS (
                  SELECT 1 FROM json_each(metadata, '$.fields') AS m WHERE m.key = f.key AND m.value = f.value
              )
          )
      )
    ORDER BY position
    LIMIT ?2 + 0
),
-- The head, and the last events at or below ?1 and ?3.
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
        NULL, NULL, NULL, NULL, NULL, NULL,
        (
            SELECT event_id
            FROM (
                SELECT * FROM (SELECT position, event_id FROM factum_events WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
                UNION ALL
                SELECT * FROM (SELECT position, event_id FROM factum_archive WHERE position <= ?3 ORDER BY position DESC LIMIT 1)
            )
            ORDER BY position DESC
            LIMIT 1
        ),
        NULL, NULL
)
