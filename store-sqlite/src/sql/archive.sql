-- ?1: category, ?2: id; the event that says so: ?3 its id, ?4 its version, ?5 its name, ?6 its time.
INSERT INTO factum_archive
    (position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload)
SELECT position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload
FROM factum_events
WHERE category = ?1 AND stream = ?2;

DELETE FROM factum_events WHERE category = ?1 AND stream = ?2;

DELETE FROM factum_snapshots WHERE category = ?1 AND stream = ?2;

INSERT INTO factum_events
    (position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload)
SELECT
    max(
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
        coalesce((SELECT max(position) FROM factum_events), 0),
        coalesce((SELECT max(position) FROM factum_archive), 0)
    ) + 1,
    ?3, ?1, ?2, ?4, ?5, 1, 'json', ?6, '{}', x'7b7d';

UPDATE factum_changes SET count = count + 1;
