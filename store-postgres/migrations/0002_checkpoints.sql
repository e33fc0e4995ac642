-- How far each subscription has come.

CREATE TABLE factum_checkpoints (
    subscription text        NOT NULL COLLATE "C",
    position     bigint      NOT NULL,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT factum_checkpoints_pkey PRIMARY KEY (subscription),
    CONSTRAINT factum_checkpoints_position_check CHECK (position >= 0)
);
