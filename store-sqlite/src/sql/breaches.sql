-- For each condition, in order: the id of the last event at or below where it begins; and the first event that matches its
-- query which the decision has not seen, its position and its name (null for none).
-- ?3: the conditions, a JSON array of objects with `query`, `after` and `seen`.
WITH RECURSIVE
condition (place, condition, after) AS (
    SELECT key, value, value ->> 'after' FROM json_each(?3)
),
item (place, condition, after, item, tag, tenant, prefix) AS (
    SELECT
        c.place, c.condition, c.after, i.value, i.value -> 'tags' ->> 0, i.value ->> 'tenant', i.value ->> 'prefix'
    FROM condition AS c
    CROSS JOIN json_each(c.condition, '$.query') AS i
),
-- For an item without names, those that the events with its first tag have: one look at the tree for each.
named (place, condition, after, item, tag, name) AS (
    SELECT
        place, condition, after, item, tag,
        (SELECT t.name FROM factum_tags AS t WHERE t.tag = item.tag ORDER BY t.name LIMIT 1)
    FROM item
    WHERE tag IS NOT NULL AND json_array_length(item, '$.names') = 0
    UNION ALL
    SELECT
        place, condition, after, item, tag,
        (SELECT t.name FROM factum_tags AS t WHERE t.tag = named.tag AND t.name > named.name ORDER BY t.name LIMIT 1)
    FROM named
    WHERE name IS NOT NULL
),
wanted (place, condition, after, item, tag, name) AS (
    SELECT i.place, i.condition, i.after, i.item, i.tag, n.value
    FROM item AS i
    CROSS JOIN json_each(i.item, '$.names') AS n
    WHERE i.tag IS NOT NULL
    UNION ALL
    SELECT place, condition, after, item, tag, name FROM named WHERE name IS NOT NULL
),
found (place, position) AS (
    SELECT
        w.place,
        (
            SELECT t.position
            FROM factum_tags AS t
            WHERE t.tag = w.tag
              AND t.name = w.name
              AND t.position > w.after
              AND t.position NOT IN (SELECT value FROM json_each(w.condition, '$.seen'))
              AND NOT EXISTS (
                  SELECT 1
                  FROM json_each(w.item, '$.tags') AS g
                  WHERE NOT EXISTS (
                      SELECT 1 FROM factum_tags AS o WHERE o.tag = g.value AND o.name = t.name AND o.position = t.position
                  )
              )
            ORDER BY t.position
            LIMIT 1
        )
    FROM wanted AS w
    UNION ALL
    SELECT
        i.place,
        (
            SELECT e.position
            FROM factum_events AS e INDEXED BY factum_events_feed
            WHERE e.position > i.after
              AND e.position NOT IN (SELECT value FROM json_each(i.condition, '$.seen'))
              AND (
                  json_array_length(i.item, '$.names') = 0
                  OR e.name IN (SELECT value FROM json_each(i.item, '$.names'))
              )
            ORDER BY e.position
            LIMIT 1
        )
    FROM item AS i
    WHERE i.tag IS NULL AND i.tenant IS NULL
    UNION ALL
    SELECT
        i.place,
        (
            SELECT e.position
            FROM factum_archive AS e
            WHERE e.position > i.after
              AND e.name IS NOT NULL
              AND e.position NOT IN (SELECT value FROM json_each(i.condition, '$.seen'))
              AND (
                  json_array_length(i.item, '$.names') = 0
                  OR e.name IN (SELECT value FROM json_each(i.item, '$.names'))
              )
            ORDER BY e.position
            LIMIT 1
        )
    FROM item AS i
    WHERE i.tag IS NULL AND i.tenant IS NULL
    UNION ALL
    SELECT
        i.place,
        (
            SELECT e.position
            FROM factum_events AS e
            WHERE e.tenant = i.tenant
              AND substr(e.category, 1, length(i.prefix)) = i.prefix
              AND e.position > i.after
              AND e.position NOT IN (SELECT value FROM json_each(i.condition, '$.seen'))
              AND (
                  json_array_length(i.item, '$.names') = 0
                  OR e.name IN (SELECT value FROM json_each(i.item, '$.names'))
              )
            ORDER BY e.position
            LIMIT 1
        )
    FROM item AS i
    WHERE i.tag IS NULL AND i.tenant IS NOT NULL
    UNION ALL
    SELECT
        i.place,
        (
            SELECT e.position
            FROM factum_archive AS e
            WHERE e.tenant = i.tenant
              AND substr(e.category, 1, length(i.prefix)) = i.prefix
              AND e.position > i.after
              AND e.name IS NOT NULL
              AND e.position NOT IN (SELECT value FROM json_each(i.condition, '$.seen'))
              AND (
                  json_array_length(i.item, '$.names') = 0
                  OR e.name IN (SELECT value FROM json_each(i.item, '$.names'))
              )
            ORDER BY e.position
            LIMIT 1
        )
    FROM item AS i
    WHERE i.tag IS NULL AND i.tenant IS NOT NULL
),
first (place, after, position) AS MATERIALIZED (
    SELECT c.place, c.after, (SELECT min(f.position) FROM found AS f WHERE f.place = c.place) FROM condition AS c
)
SELECT
    first.position,
    (
        SELECT event_id
        FROM (
            SELECT * FROM (
                SELECT position, event_id FROM factum_events WHERE position <= first.after ORDER BY position DESC LIMIT 1
            )
            UNION ALL
            SELECT * FROM (
                SELECT position, event_id FROM factum_archive WHERE position <= first.after ORDER BY position DESC LIMIT 1
            )
        )
        ORDER BY position DESC
        LIMIT 1
    ),
    coalesce(
        (SELECT e.name FROM factum_events AS e WHERE e.position = first.position),
        (SELECT e.name FROM factum_archive AS e WHERE e.position = first.position)
    )
FROM first
ORDER BY first.place;
