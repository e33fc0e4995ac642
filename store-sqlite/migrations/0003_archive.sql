-- Events of archived streams, and what is left of erased ones: their numbers and ids, without content.
CREATE TABLE factum_archive (
    position       INTEGER PRIMARY KEY,
    event_id       BLOB    NOT NULL,
    category       TEXT    NOT NULL,
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    name           TEXT,
    schema_version INTEGER,
    codec          TEXT,
    recorded_at    INTEGER NOT NULL,
    metadata       TEXT,
    payload        BLOB,
    UNIQUE (category, stream, version),
    UNIQUE (event_id),
    -- All of the content, or none of it.
    CHECK (
        (name IS NULL) + (schema_version IS NULL) + (codec IS NULL) + (metadata IS NULL) + (payload IS NULL) IN (0, 5)
    )
) STRICT;

-- The last event of the log at or below the position. Null for checkpoints that were made before this migration.
ALTER TABLE factum_checkpoints ADD COLUMN event_id BLOB;
