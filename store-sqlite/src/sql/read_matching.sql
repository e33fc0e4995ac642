-- The events that match a query.
-- ?1: the query, a JSON array of objects with `names` and `tags`; where only what a tenant has is meant, also
-- `tenant`, the outermost, and `prefix`, what categories begin with. ?2: after this position; ?3: the most rows.
WITH RECURSIVE
item (item, tag, tenant, prefix) AS (
    SELECT value, value -> 'tags' ->> 0, value ->> 'tenant', value ->> 'prefix' FROM json_each(?1)
),
-- For an item without names, those that the events with its first tag have: one look at the tree for each.
named (item, tag, name) AS (
    SELECT item, tag, (SELECT t.name FROM factum_tags AS t WHERE t.tag = item.tag ORDER BY t.name LIMIT 1)
    FROM item
    WHERE tag IS NOT NULL AND json_array_length(item, '$.names') = 0
    UNION ALL
    SELECT
        item, tag,
        (SELECT t.name FROM factum_tags AS t WHERE t.tag = named.tag AND t.name > named.name ORDER BY t.name LIMIT 1)
    FROM named
    WHERE name IS NOT NULL
),
wanted (item, tag, name) AS (
    SELECT item, tag, n.value FROM item CROSS JOIN json_each(item, '$.names') AS n WHERE tag IS NOT NULL
    UNION ALL
    SELECT item, tag, name FROM named WHERE name IS NOT NULL
),
found (position) AS MATERIALIZED (
    SELECT t.position
    FROM wanted AS w
    CROSS JOIN factum_tags AS t
    WHERE t.tag = w.tag
      AND t.name = w.name
      AND t.position > ?2
      AND NOT EXISTS (
          SELECT 1
          FROM json_each(w.item, '$.tags') AS g
          WHERE NOT EXISTS (
              SELECT 1 FROM factum_tags AS o WHERE o.tag = g.value AND o.name = t.name AND o.position = t.position
          )
      )
    UNION
    SELECT e.position
    FROM item AS i
    CROSS JOIN factum_events AS e INDEXED BY factum_events_feed
    WHERE i.tag IS NULL
      AND i.tenant IS NULL
      AND e.position > ?2
      AND (json_array_length(i.item, '$.names') = 0 OR e.name IN (SELECT value FROM json_each(i.item, '$.names')))
    UNION
    SELECT e.position
    FROM item AS i
    CROSS JOIN factum_archive AS e
    WHERE i.tag IS NULL
      AND i.tenant IS NULL
      AND e.position > ?2
      AND e.name IS NOT NULL
      AND (json_array_length(i.item, '$.names') = 0 OR e.name IN (SELECT value FROM json_each(i.item, '$.names')))
    UNION
    SELECT e.position
    FROM item AS i
    CROSS JOIN factum_events AS e
    WHERE i.tag IS NULL
      AND e.tenant = i.tenant
      AND substr(e.category, 1, length(i.prefix)) = i.prefix
      AND e.position > ?2
      AND (json_array_length(i.item, '$.names') = 0 OR e.name IN (SELECT value FROM json_each(i.item, '$.names')))
    UNION
    SELECT e.position
    FROM item AS i
    CROSS JOIN factum_archive AS e
    WHERE i.tag IS NULL
      AND e.tenant = i.tenant
      AND substr(e.category, 1, length(i.prefix)) = i.prefix
      AND e.position > ?2
      AND e.name IS NOT NULL
      AND (json_array_length(i.item, '$.names') = 0 OR e.name IN (SELECT value FROM json_each(i.item, '$.names')))
    ORDER BY position
    LIMIT ?3 + 0
),
page AS (
    SELECT
        e.position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM found
    CROSS JOIN factum_events AS e ON e.position = found.position
    UNION ALL
    SELECT
        e.position, event_id, version, name, schema_version, codec, recorded_at, metadata, payload, category, stream
    FROM found
    CROSS JOIN factum_archive AS e ON e.position = found.position
    ORDER BY 1
),
-- One statement is one snapshot, and who writes has the log to himself: so all up to the last event is settled.
facts AS (
    SELECT position, event_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM factum_events
    ORDER BY position DESC
    LIMIT 1
)
