-- The id of the last event at or below a position.
SELECT factum_event_at($1)
