-- ?1: category, ?2: id; the event that says so: ?3 its id, ?4 its version, ?5 its name, ?6 its time.
DELETE FROM factum_tags
WHERE (tag, name, position) IN (
    SELECT t.value, e.name, e.position
    FROM (
        SELECT name, position, metadata FROM factum_events WHERE category = ?1 AND stream = ?2
        UNION ALL
        SELECT name, position, metadata
        FROM factum_archive
        WHERE category = ?1 AND stream = ?2 AND name IS NOT NULL
    ) AS e
    CROSS JOIN json_each(e.metadata, '$.tags') AS t
);

UPDATE factum_archive
SET name = NULL, schema_version = NULL, codec = NULL, metadata = NULL, payload = NULL
WHERE category = ?1 AND stream = ?2 AND name IS NOT NULL;

INSERT INTO factum_archive (position, event_id, category, stream, version, recorded_at)
SELECT position, event_id, category, stream, version, recorded_at
FROM factum_events
WHERE category = ?1 AND stream = ?2;

DELETE FROM factum_events WHERE category = ?1 AND stream = ?2;

DELETE FROM factum_snapshots WHERE category = ?1 AND stream = ?2;

INSERT INTO factum_events
    (position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload)
SELECT
    max(
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
        coalesce((SELECT max(position) FROM factum_events), 0),
        coalesce((SELECT max(position) FROM factum_archive), 0)
    ) + 1,
    ?3, ?1, ?2, ?4, ?5, 1, 'json', ?6, '{}', x'7b7d';

UPDATE factum_changes SET count = count + 1;
