-- The keys of those about whom something personal is recorded, each wrapped by a master key that is not here. A row without a key is
-- the note that somebody was forgotten.
CREATE TABLE factum_keys (
    subject    text   NOT NULL COLLATE "C",
    generation bigint NOT NULL,
    -- The name of the master key.
    master     text   COLLATE "C",
    wrapped    bytea,
    CONSTRAINT factum_keys_pkey PRIMARY KEY (subject),
    CONSTRAINT factum_keys_wrapped_check CHECK ((master IS NULL) = (wrapped IS NULL))
);

-- What is sealed of an event stands as a text in the place of its value, so the rest is as readable as before.
CREATE OR REPLACE VIEW factum_events_json AS
SELECT
    position,
    category,
    stream,
    version,
    event_id,
    name,
    schema_version,
    CASE WHEN codec IN ('json', 'json+sealed') THEN factum_jsonb(payload) END AS payload,
    factum_jsonb(convert_to(metadata, 'UTF8')) AS metadata,
    recorded_at
FROM factum_events;
