-- What subscriptions keep beside a checkpoint: partitions that nodes hold leases of, events that were set aside, timers.

-- A checkpoint for each partition of a subscription's work.
ALTER TABLE factum_checkpoints
    ADD COLUMN partition    integer NOT NULL DEFAULT 0,
    -- How many there are, the same in all rows of a subscription.
    ADD COLUMN partitions   integer NOT NULL DEFAULT 1,
    -- The greatest fencing token that was given out, and who has it until when.
    ADD COLUMN token        bigint  NOT NULL DEFAULT 0,
    ADD COLUMN node         uuid,
    ADD COLUMN leased_until timestamptz,
    ADD CONSTRAINT factum_checkpoints_partition_check CHECK (partition >= 0 AND partition < partitions),
    ADD CONSTRAINT factum_checkpoints_lease_check CHECK ((node IS NULL) = (leased_until IS NULL)),
    DROP CONSTRAINT factum_checkpoints_pkey,
    ADD CONSTRAINT factum_checkpoints_pkey PRIMARY KEY (subscription, partition);

-- The nodes that share the work of a subscription, and until when they count as there.
CREATE TABLE factum_nodes (
    subscription text        NOT NULL COLLATE "C",
    node         uuid        NOT NULL,
    there_until  timestamptz NOT NULL,
    CONSTRAINT factum_nodes_pkey PRIMARY KEY (subscription, node)
);

-- Events that a subscription has set aside. Their content is in the log, and nowhere else.
CREATE TABLE factum_dead_letters (
    subscription text        NOT NULL COLLATE "C",
    position     bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    category     text        NOT NULL COLLATE "C",
    stream       text        NOT NULL COLLATE "C",
    version      bigint      NOT NULL,
    name         text        NOT NULL COLLATE "C",
    -- Whether the later events of the stream wait behind it.
    holds_stream boolean     NOT NULL,
    attempts     integer     NOT NULL,
    -- Null for one that only waits behind another.
    handler      text        COLLATE "C",
    errors       text[],
    -- Whether it is to be handled again as soon as it is its turn.
    is_due       boolean     NOT NULL,
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT factum_dead_letters_pkey PRIMARY KEY (subscription, position),
    CONSTRAINT factum_dead_letters_attempts_check CHECK (attempts >= 0),
    CONSTRAINT factum_dead_letters_failure_check CHECK ((handler IS NULL) = (errors IS NULL))
);

-- Which is the first of a stream that others wait behind.
CREATE INDEX factum_dead_letters_stream ON factum_dead_letters (subscription, category, stream, position)
    WHERE holds_stream;

-- Deadlines of processes. One for each event that sets one.
CREATE TABLE factum_timers (
    process  text        NOT NULL COLLATE "C",
    event_id uuid        NOT NULL,
    due_at   timestamptz NOT NULL,
    CONSTRAINT factum_timers_pkey PRIMARY KEY (process, event_id)
);

CREATE INDEX factum_timers_due ON factum_timers (process, due_at);
