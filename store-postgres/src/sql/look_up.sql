-- What an append must know of its streams, in the order in which they are asked for; 0 where there is none.
SELECT coalesce(last.version, 0) AS "version!", last.name AS "name?"
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (category, stream, place)
LEFT JOIN LATERAL (
    SELECT e.version, e.name
    FROM factum_events AS e
    WHERE e.category = s.category AND e.stream = s.stream
    ORDER BY e.version DESC
    LIMIT 1
) AS last ON true
ORDER BY s.place
