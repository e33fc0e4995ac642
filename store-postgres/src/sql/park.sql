-- Sets events aside, or again. Arrays, one element for each event. One without a handler only waits behind another.
INSERT INTO factum_dead_letters
    (subscription, position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due)
SELECT
    $1, l.position, l.event_id, l.category, l.stream, l.version, l.name, l.holds_stream, l.attempts, l.handler,
    -- An array of arrays would have to have equally long ones.
    (SELECT array_agg(error ORDER BY place)
     FROM jsonb_array_elements_text(l.errors::jsonb) WITH ORDINALITY AS e (error, place)),
    l.handler IS NULL
FROM unnest(
    $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::boolean[], $9::integer[],
    $10::text[], $11::text[]
) AS l (position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors)
ON CONFLICT (subscription, position) DO UPDATE
SET attempts = excluded.attempts,
    handler = excluded.handler,
    errors = excluded.errors,
    is_due = excluded.is_due,
    parked_at = clock_timestamp()
