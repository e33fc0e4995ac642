-- Opens the transaction of a group of appends and looks up what its verdicts depend on.
-- ?1: the group's streams, a JSON array of "category/id"; the first slash ends the category.
-- ?2: its event ids, a JSON array of 32 hexadecimal digits each.
BEGIN IMMEDIATE;

-- The last position ever used, and the current version of each stream (null for none): one row, because sqlx carries
-- each row over to another thread, which costs more than finding it.
SELECT
    max(
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
        coalesce((SELECT max(position) FROM factum_events), 0)
    ),
    (
        SELECT json_group_array(
            (
                SELECT e.version
                FROM factum_events AS e
                WHERE e.category = substr(s.value, 1, instr(s.value, '/') - 1)
                  AND e.stream = substr(s.value, instr(s.value, '/') + 1)
                ORDER BY e.version DESC
                LIMIT 1
            )
            ORDER BY s.key
        )
        FROM json_each(?1) AS s
    );

-- Where those of the ids are that are recorded already.
SELECT e.event_id, e.category, e.stream, e.version, e.position, e.recorded_at
FROM json_each(?2) AS i
CROSS JOIN factum_events AS e ON e.event_id = unhex(i.value);
