-- ?1: subscription, ?2: a JSON array of events to set aside, or again, ?3: now.
INSERT INTO factum_dead_letters
    (subscription, position, event_id, category, stream, version, name, holds_stream, attempts, handler, errors, is_due, parked_at)
SELECT
    ?1, value ->> 'position', unhex(value ->> 'event_id'), value ->> 'category', value ->> 'stream', value ->> 'version',
    value ->> 'name', value ->> 'holds_stream', value ->> 'attempts', value ->> 'handler', value ->> 'errors',
    value ->> 'handler' IS NULL, ?3
FROM json_each(?2)
WHERE true
ON CONFLICT (subscription, position) DO UPDATE
SET attempts = excluded.attempts,
    handler = excluded.handler,
    errors = excluded.errors,
    is_due = excluded.is_due,
    parked_at = excluded.parked_at;
