-- A database as version 0.1 of the program left it, at migration 2. Never changed: migrations are tested on it.
CREATE FUNCTION public.factum_jsonb(content bytea) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
BEGIN
    RETURN pg_catalog.convert_from(content, 'UTF8')::pg_catalog.jsonb;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
END
$$;
CREATE TABLE public._factum_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.factum_checkpoints (
    subscription text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    moved_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT factum_checkpoints_position_check CHECK (("position" >= 0))
);
CREATE TABLE public.factum_events (
    "position" bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    schema_version integer NOT NULL,
    category text NOT NULL COLLATE pg_catalog."C",
    stream text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    codec text NOT NULL COLLATE pg_catalog."C",
    payload bytea NOT NULL,
    metadata text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT factum_events_position_check CHECK (("position" > 0)),
    CONSTRAINT factum_events_schema_version_check CHECK ((schema_version > 0)),
    CONSTRAINT factum_events_version_check CHECK ((version > 0))
);
CREATE VIEW public.factum_events_json AS
 SELECT factum_events."position",
    factum_events.category,
    factum_events.stream,
    factum_events.version,
    factum_events.event_id,
    factum_events.name,
    factum_events.schema_version,
        CASE factum_events.codec
            WHEN 'json'::text THEN public.factum_jsonb(factum_events.payload)
            ELSE NULL::jsonb
        END AS payload,
    public.factum_jsonb(convert_to(factum_events.metadata, 'UTF8'::name)) AS metadata,
    factum_events.recorded_at
   FROM public.factum_events;
CREATE SEQUENCE public.factum_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.factum_position OWNED BY public.factum_events."position";
INSERT INTO public._factum_migrations VALUES (1, 'events', '2026-11-22 13:11:57.80426+00', true, '\xe1c7ebe5b6ca6565d56fbe27a7b64ac6c8594cd4c02482fcd8bf38c97aba7c95ca188e2780f9d17a1958e2cdd67da1fb', 17997172);
INSERT INTO public._factum_migrations VALUES (2, 'checkpoints', '2026-11-22 13:11:57.830176+00', true, '\xb4652b9e71050634e7cf218c3bca86dd3f8a6bf64de60dd7661fe3242bd3248fe6ded0fb2a04a0c4d6975aa02bdcc7e4', 11936714);
INSERT INTO public.factum_checkpoints VALUES ('mails', 6, '2025-10-09 09:00:00+00');
INSERT INTO public.factum_checkpoints VALUES ('spend', 8, '2025-10-09 09:00:00+00');
INSERT INTO public.factum_events VALUES (1, 1, '2025-10-09 08:53:20.000001+00', '01900000-0000-7000-8000-000000000001', 1, 'order', '1', 'order.placed', 'json', '\x7b22637573746f6d6572223a22416461222c226c696e6573223a5b224b696e64206f6620426c7565225d7d', '{}');
INSERT INTO public.factum_events VALUES (2, 1, '2025-10-09 08:53:20.000002+00', '01900000-0000-7000-8000-000000000002', 1, 'order', '2', 'order.placed', 'json', '\x7b22637573746f6d6572223a22426f222c226c696e6573223a5b5d7d', '{"actor":"import","fields":{"source":"ü"}}');
INSERT INTO public.factum_events VALUES (6, 2, '2025-10-09 08:53:20.000006+00', '01900000-0000-7000-8000-000000000006', 2, 'order', '1', 'order.shipped', 'json', '\x7b2270617263656c223a225031227d', '{}');
INSERT INTO public.factum_events VALUES (7, 1, '2025-10-09 08:53:20.000007+00', '01900000-0000-7000-8000-000000000007', 1, 'cart', 'a/b', 'cart.filled', 'bytes', '\xff00fe', '{}');
INSERT INTO public.factum_events VALUES (8, 3, '2025-10-09 08:53:20.000008+00', '01900000-0000-7000-8000-000000000008', 1, 'order', '1', 'order.cancelled', 'json', '\x6e756c6c', '{"correlation_id":"01900000-0000-7000-8000-000000000001","causation_id":"01900000-0000-7000-8000-000000000006","occurred_at":"2025-10-09T00:00:00Z"}');
SELECT pg_catalog.setval('public.factum_position', 8, true);
ALTER TABLE ONLY public._factum_migrations
    ADD CONSTRAINT _factum_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.factum_checkpoints
    ADD CONSTRAINT factum_checkpoints_pkey PRIMARY KEY (subscription);
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_event_id_key UNIQUE (event_id);
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_stream_version_key UNIQUE (category, stream, version);
