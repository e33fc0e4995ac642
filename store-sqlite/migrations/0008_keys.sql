-- The keys of those about whom something personal is recorded, each wrapped by a master key that is not here. A row without a key is
-- the note that somebody was forgotten.
CREATE TABLE factum_keys (
    subject    TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    -- The name of the master key.
    master     TEXT,
    wrapped    BLOB,
    CHECK ((master IS NULL) = (wrapped IS NULL))
) STRICT, WITHOUT ROWID;
