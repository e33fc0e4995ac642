-- A page of the feed of one tenant, in the form of `read_all_filtered.sql`.
-- ?1: after this position, ?2: the most rows, ?3: how many events of the tenant to look at.
-- ?4: categories, ?5: pairs of category and id, ?6: names; JSON arrays. ?7: fields, a JSON object.
-- Each is null where everything passes. ?8: the outermost tenant, ?9: what categories begin with.
-- One statement is one snapshot, so the head in the last row belongs to the rows before it.
WITH found (position) AS MATERIALIZED (
    SELECT position
    FROM factum_events
    WHERE tenant = ?8 AND position > ?1 AND substr(category, 1, length(?9)) = ?9
    UNION ALL
    SELECT position
    FROM factum_archive
    WHERE tenant = ?8 AND position > ?1 AND substr(category, 1, length(?9)) = ?9 AND name IS NOT NULL
    ORDER BY position
    LIMIT ?3 + 0
),
-- If there is less than was to be looked at, that is all up to the head.
bounds (head, ending) AS MATERIALIZED (
    SELECT head, iif((SELECT count(*) FROM found) < ?3, head, (SELECT max(position) FROM found))
    FROM (SELECT coalesce((SELECT max(position) FROM factum_events), 0) AS head)
),
looked_at AS (
    SELECT
        e.position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM found
    CROSS JOIN factum_events AS e ON e.position = found.position
    UNION ALL
    SELECT
        e.position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM found
    CROSS JOIN factum_archive AS e ON e.position = found.position
),
page AS (
    SELECT *
    FROM looked_at
    WHERE (?4 IS NULL OR category IN (SELECT value FROM json_each(?4)))
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
-- The head, the last events at or below ?1 and the end of the window, and that end.
facts AS (
    SELECT
        head,
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
        ending,
        NULL, NULL, NULL, NULL, NULL,
        (
            SELECT event_id
            FROM (
                SELECT * FROM (
                    SELECT position, event_id FROM factum_events WHERE position <= ending ORDER BY position DESC LIMIT 1
                )
                UNION ALL
                SELECT * FROM (
                    SELECT position, event_id FROM factum_archive WHERE position <= ending ORDER BY position DESC LIMIT 1
                )
            )
            ORDER BY position DESC
            LIMIT 1
        ),
        NULL, NULL
    FROM bounds
)
