-- Several streams from their beginning. Each event comes after the place of its stream in the arrays.
-- $1 categories, $2 ids, $3 the most events of each.
SELECT asked.place, e.*
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (category, stream, place)
CROSS JOIN LATERAL (
    SELECT position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at
    FROM factum_events
    WHERE category = asked.category AND stream = asked.stream
    ORDER BY version
    LIMIT $3
) AS e
