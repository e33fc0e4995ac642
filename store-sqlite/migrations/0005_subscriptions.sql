-- What subscriptions keep beside a checkpoint: partitions that nodes hold leases of, events that were set aside, timers.

-- A checkpoint for each partition of a subscription's work. One that has not begun, and was never leased, has no row.
CREATE TABLE factum_partitions (
    subscription TEXT    NOT NULL,
    partition    INTEGER NOT NULL CHECK (partition >= 0 AND partition < partitions),
    -- How many there are, the same in all rows of a subscription.
    partitions   INTEGER NOT NULL,
    position     INTEGER NOT NULL CHECK (position >= 0),
    -- The last event of the log at or below the position.
    event_id     BLOB,
    -- The greatest fencing token that was given out, and who has it until when: microseconds since 1970, UTC.
    token        INTEGER NOT NULL DEFAULT 0,
    node         BLOB,
    leased_until INTEGER,
    PRIMARY KEY (subscription, partition),
    CHECK ((node IS NULL) = (leased_until IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO factum_partitions (subscription, partition, partitions, position, event_id)
SELECT subscription, 0, 1, position, event_id FROM factum_checkpoints;

DROP TABLE factum_checkpoints;
ALTER TABLE factum_partitions RENAME TO factum_checkpoints;

-- The nodes that share the work of a subscription, and until when they count as there.
CREATE TABLE factum_nodes (
    subscription TEXT    NOT NULL,
    node         BLOB    NOT NULL,
    there_until  INTEGER NOT NULL,
    PRIMARY KEY (subscription, node)
) STRICT, WITHOUT ROWID;

-- Events that a subscription has set aside. Their content is in the log, and nowhere else.
CREATE TABLE factum_dead_letters (
    subscription TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    event_id     BLOB    NOT NULL,
    category     TEXT    NOT NULL,
    stream       TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    -- Whether the later events of the stream wait behind it.
    holds_stream INTEGER NOT NULL,
    attempts     INTEGER NOT NULL CHECK (attempts >= 0),
    -- Null for one that only waits behind another. The errors are a JSON array of texts.
    handler      TEXT,
    errors       TEXT,
    -- Whether it is to be handled again as soon as it is its turn.
    is_due       INTEGER NOT NULL,
    parked_at    INTEGER NOT NULL,
    PRIMARY KEY (subscription, position),
    CHECK ((handler IS NULL) = (errors IS NULL))
) STRICT, WITHOUT ROWID;

-- Which is the first of a stream that others wait behind.
CREATE INDEX factum_dead_letters_stream ON factum_dead_letters (subscription, category, stream, position)
WHERE holds_stream = 1;

-- Deadlines of processes. One for each event that sets one.
CREATE TABLE factum_timers (
    process  TEXT    NOT NULL,
    event_id BLOB    NOT NULL,
    due_at   INTEGER NOT NULL,
    PRIMARY KEY (process, event_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX factum_timers_due ON factum_timers (process, due_at);
