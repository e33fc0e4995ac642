-- The log.

-- Drawn by appends only, under their lock. A cached value would be used after a greater one of another connection.
CREATE SEQUENCE factum_position AS bigint MINVALUE 1 NO CYCLE CACHE 1;

-- Columns of fixed width come first, because Postgres pads what stands before them.
-- Text compares byte by byte, so no update of the server's locales can make an index wrong.
CREATE TABLE factum_events (
    position       bigint      NOT NULL,
    version        bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    event_id       uuid        NOT NULL,
    schema_version integer     NOT NULL,
    category       text        NOT NULL COLLATE "C",
    stream         text        NOT NULL COLLATE "C",
    name           text        NOT NULL COLLATE "C",
    codec          text        NOT NULL COLLATE "C",
    payload        bytea       NOT NULL,
    -- JSON, but not `jsonb`: that refuses an escaped NUL, and gives other bytes back than it was given.
    metadata       text        NOT NULL COLLATE "C",
    CONSTRAINT factum_events_pkey PRIMARY KEY (position),
    -- The program knows a conflict by the names of these two.
    CONSTRAINT factum_events_stream_version_key UNIQUE (category, stream, version),
    CONSTRAINT factum_events_event_id_key UNIQUE (event_id),
    CONSTRAINT factum_events_position_check CHECK (position > 0),
    CONSTRAINT factum_events_version_check CHECK (version > 0),
    CONSTRAINT factum_events_schema_version_check CHECK (schema_version > 0)
);

ALTER SEQUENCE factum_position OWNED BY factum_events.position;

-- For people and reports: the log as `jsonb`.

-- NULL where the bytes are no JSON, or none that `jsonb` takes. One bad row must not make the whole view fail.
CREATE FUNCTION factum_jsonb(content bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $$
BEGIN
    RETURN pg_catalog.convert_from(content, 'UTF8')::pg_catalog.jsonb;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
END
$$;

CREATE VIEW factum_events_json AS
SELECT
    position,
    category,
    stream,
    version,
    event_id,
    name,
    schema_version,
    CASE codec WHEN 'json' THEN factum_jsonb(payload) END AS payload,
    factum_jsonb(convert_to(metadata, 'UTF8')) AS metadata,
    recorded_at
FROM factum_events;
