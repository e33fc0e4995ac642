-- Where there is no array everything passes.
SELECT position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
FROM factum_events
WHERE position > $1
    AND position <= $2
    AND ($3::text[] IS NULL OR category = ANY ($3))
    AND ($4::text[] IS NULL OR (category, stream) IN (SELECT * FROM unnest($4::text[], $5::text[])))
    AND ($6::text[] IS NULL OR name = ANY ($6))
ORDER BY position
LIMIT $7
