-- How many times a stream was deleted, archived, restored or truncated: one row. It grows in the transaction that does it,
-- so whoever reads the log in several steps knows whether the steps are of one log.
CREATE TABLE factum_changes (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    count    INTEGER NOT NULL
) STRICT;

INSERT INTO factum_changes VALUES (1, 0);
