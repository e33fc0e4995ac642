-- A row of the archive; all of the content is null, or none of it.
INSERT INTO factum_archive
    (position, event_id, category, stream, version, name, schema_version, codec, recorded_at, metadata, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);
