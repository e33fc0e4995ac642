-- What an append must know of the log, each stream and id at once.
SELECT
    clock_timestamp() AS "now!",
    coalesce((SELECT max(position) FROM factum_events), 0) AS "head!",
    -- In the order of the streams asked for; 0 where there is none.
    ARRAY(
        SELECT coalesce((SELECT max(e.version) FROM factum_events e WHERE e.category = s.category AND e.stream = s.stream), 0)
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (category, stream, place)
        ORDER BY s.place
    ) AS "versions!",
    EXISTS (SELECT FROM factum_events WHERE event_id = ANY ($3::uuid[])) AS "repeats!"
