-- States of aggregates, so that loading need not begin with the first event: a cache, all of which may be deleted at any time.
CREATE TABLE factum_snapshots (
    category TEXT    NOT NULL,
    stream   TEXT    NOT NULL,
    -- The version of the shape of the state: two versions of a program that work beside each other have a row each.
    shape    INTEGER NOT NULL CHECK (shape >= 1),
    -- What the state stands on: its last event, and the version of the event that says that the stream was truncated, if it
    -- began with one. A row of which the log does not have both is passed over.
    version  INTEGER NOT NULL CHECK (version >= 1),
    position INTEGER NOT NULL CHECK (position >= 1),
    event_id BLOB    NOT NULL,
    begins   INTEGER NOT NULL CHECK (begins >= 0),
    codec    TEXT    NOT NULL,
    checksum INTEGER NOT NULL,
    state    BLOB    NOT NULL,
    PRIMARY KEY (category, stream, shape)
) STRICT;
