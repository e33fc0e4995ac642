-- How far each subscription has come. One that has not begun has no row.
CREATE TABLE factum_checkpoints (
    subscription TEXT    NOT NULL PRIMARY KEY,
    position     INTEGER NOT NULL CHECK (position >= 0)
) STRICT, WITHOUT ROWID;
