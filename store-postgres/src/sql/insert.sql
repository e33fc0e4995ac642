-- Positions are drawn in the order in which the events stand in the arrays.
INSERT INTO factum_events
    (position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, recorded_at)
SELECT
    nextval('factum_position'), event_id, category, stream, version, name, schema_version, codec, payload, metadata, $10
FROM (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bytea[], $9::text[]
    ) WITH ORDINALITY AS e (event_id, category, stream, version, name, schema_version, codec, payload, metadata, place)
    ORDER BY place
) AS events
RETURNING event_id, position
