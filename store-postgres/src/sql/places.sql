SELECT event_id, category, stream, version, position, recorded_at
FROM factum_events
WHERE event_id = ANY ($1::uuid[])
