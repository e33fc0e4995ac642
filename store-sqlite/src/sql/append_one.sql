-- Appends one event in a transaction of its own, unless something speaks against it: then there is no row.
-- ?1: its id, ?2: category, ?3: id of the stream, ?4: the version it must have, 0 for none, -1 for any, -2 for whatever is there;
-- ?5 to ?10: name, version of the schema, codec, time, metadata, payload.
-- OR ROLLBACK as in a group's insert.
INSERT OR ROLLBACK INTO factum_events
    (position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload)
SELECT
    1 + max(
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
        coalesce((SELECT max(position) FROM factum_events), 0),
        coalesce((SELECT max(position) FROM factum_archive), 0)
    ),
    ?1, ?2, ?3, coalesce(last.version, 0) + 1, ?5, ?6, ?7, ?8, ?9, ?10
FROM (SELECT 1)
LEFT JOIN (
    SELECT version, name FROM factum_events WHERE category = ?2 AND stream = ?3 ORDER BY version DESC LIMIT 1
) AS last
WHERE CASE ?4
        WHEN -2 THEN true
        WHEN -1 THEN last.version > 0
        ELSE coalesce(last.version, 0) = ?4
    END
    AND coalesce(last.version < 9223372036854775807, true)
    AND coalesce(last.name NOT IN ('factum.deleted', 'factum.archived'), true)
    AND NOT EXISTS (SELECT 1 FROM factum_events WHERE event_id = ?1)
    AND NOT EXISTS (SELECT 1 FROM factum_archive WHERE event_id = ?1)
RETURNING position, version;
