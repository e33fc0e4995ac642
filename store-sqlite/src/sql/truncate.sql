-- ?1: category, ?2: id; ?3: the version of the event in whose place the stream says that it was truncated.
DELETE FROM factum_tags
WHERE (tag, name, position) IN (
    SELECT t.value, e.name, e.position
    FROM (
        SELECT name, position, metadata FROM factum_events WHERE category = ?1 AND stream = ?2 AND version <= ?3
        UNION ALL
        SELECT name, position, metadata
        FROM factum_archive
        WHERE category = ?1 AND stream = ?2 AND version <= ?3 AND name IS NOT NULL
    ) AS e
    CROSS JOIN json_each(e.metadata, '$.tags') AS t
);

INSERT INTO factum_archive (position, event_id, category, stream, version, recorded_at)
SELECT position, event_id, category, stream, version, recorded_at
FROM factum_events
WHERE category = ?1 AND stream = ?2 AND version < ?3;

DELETE FROM factum_events WHERE category = ?1 AND stream = ?2 AND version < ?3;

UPDATE factum_events
SET name = 'factum.truncated', schema_version = 1, codec = 'json', metadata = '{}', payload = x'7b7d'
WHERE category = ?1 AND stream = ?2 AND version = ?3 AND name <> 'factum.truncated';

-- If the statement before did anything: a truncation that is repeated disturbs no export.
UPDATE factum_changes SET count = count + 1 WHERE changes() > 0;

DELETE FROM factum_snapshots WHERE category = ?1 AND stream = ?2;
