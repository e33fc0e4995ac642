-- ?1: category, ?2: id, ?3: shape; what the state stands on: ?4 version, ?5 position, ?6 event, ?7 where the stream began;
-- ?8: codec, ?9: checksum, ?10: state.
INSERT INTO factum_snapshots (category, stream, shape, version, position, event_id, begins, codec, checksum, state)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
WHERE
    -- The log has what it stands on.
    EXISTS (SELECT 1 FROM factum_events WHERE category = ?1 AND stream = ?2 AND version = ?4 AND event_id = ?6)
    AND ?7 = (
        SELECT iif(name = 'factum.truncated', version, 0)
        FROM factum_events
        WHERE category = ?1 AND stream = ?2
        ORDER BY version
        LIMIT 1
    )
ON CONFLICT (category, stream, shape) DO UPDATE SET
    version = excluded.version, position = excluded.position, event_id = excluded.event_id, begins = excluded.begins,
    codec = excluded.codec, checksum = excluded.checksum, state = excluded.state
WHERE
    factum_snapshots.version < excluded.version
    -- A newer one stays only if it stands, too. Where the stream begins they agree, or it has fallen.
    OR factum_snapshots.begins <> excluded.begins
    OR NOT EXISTS (
        SELECT 1 FROM factum_events AS e
        WHERE e.category = ?1 AND e.stream = ?2
            AND e.version = factum_snapshots.version AND e.event_id = factum_snapshots.event_id
    );

SELECT changes() AS kept;

-- Of the other shapes the greatest stays.
DELETE FROM factum_snapshots
WHERE category = ?1 AND stream = ?2 AND shape <> ?3
    AND shape < (SELECT max(shape) FROM factum_snapshots WHERE category = ?1 AND stream = ?2 AND shape <> ?3);
