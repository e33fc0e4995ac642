-- All that is held after $1 and up to $2: events in use, archived ones, and of erased ones what is left.
SELECT position AS "position!", event_id AS "event_id!", category AS "category!", stream AS "stream!",
    version AS "version!", name, schema_version, codec, payload, metadata, recorded_at AS "recorded_at!",
    is_archived AS "is_archived!"
FROM (
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at,
        false AS is_archived
    FROM factum_events
    UNION ALL
    SELECT
        position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at,
        true AS is_archived
    FROM factum_archive
) AS records
WHERE position > $1 AND position <= $2
ORDER BY position
LIMIT $3
