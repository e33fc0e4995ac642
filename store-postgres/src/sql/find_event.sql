SELECT position AS "position!", event_id AS "event_id!", category AS "category!", stream AS "stream!",
    version AS "version!", name AS "name!", schema_version AS "schema_version!", codec AS "codec!",
    payload AS "payload!", metadata AS "metadata!", recorded_at AS "recorded_at!"
FROM factum_events
WHERE event_id = $1
UNION ALL
SELECT position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
FROM factum_archive
WHERE event_id = $1 AND name IS NOT NULL
