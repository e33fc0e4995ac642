-- The last position ever used, and for each stream the version of its last event (null for none) and what has closed it
-- (null for nothing): one row, because sqlx carries each row over to another thread, which costs more than finding it.
SELECT
    max(
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
        coalesce((SELECT max(position) FROM factum_events), 0),
        coalesce((SELECT max(position) FROM factum_archive), 0)
    ),
    (
        SELECT json_group_array(
            -- A subquery gives JSON as a mere text.
            json((
                SELECT json_array(
                    e.version, CASE WHEN e.name IN ('factum.deleted', 'factum.archived') THEN e.name END
                )
                FROM factum_events AS e
                WHERE e.category = substr(s.value, 1, instr(s.value, '/') - 1)
                  AND e.stream = substr(s.value, instr(s.value, '/') + 1)
                ORDER BY e.version DESC
                LIMIT 1
            ))
            ORDER BY s.key
        )
        FROM json_each(?1) AS s
    );

-- Where those of the ids are that are recorded already.
SELECT e.event_id, e.category, e.stream, e.version, e.position, e.recorded_at
FROM json_each(?2) AS i
CROSS JOIN factum_events AS e ON e.event_id = unhex(i.value)
UNION ALL
SELECT e.event_id, e.category, e.stream, e.version, e.position, e.recorded_at
FROM json_each(?2) AS i
CROSS JOIN factum_archive AS e ON e.event_id = unhex(i.value);
