-- A database as version 0.1 of the program left it, at migration 4, with streams that were truncated, deleted, archived and
-- restored. Never changed: migrations are tested on it.
SET check_function_bodies = false;
CREATE FUNCTION public.factum_append(lock_ms integer, idle_ms integer, of_category text, of_stream text, expected bigint, ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[]) RETURNS TABLE(at_position bigint, at_time timestamp with time zone, last_version bigint, closed_by text, is_known boolean)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    last_name text;
    head bigint;
BEGIN
    PERFORM factum_begin_append(lock_ms, idle_ms);
    SELECT e.version, e.name INTO last_version, last_name
    FROM factum_events AS e
    WHERE e.category = of_category AND e.stream = of_stream
    ORDER BY e.version DESC
    LIMIT 1;
    last_version := coalesce(last_version, 0);
    is_known := false;
    IF last_name IN ('factum.deleted', 'factum.archived') THEN
        closed_by := last_name;
    END IF;
    -- Where the version is the expected one, the ids are no repetition, and the constraint refuses those that are taken.
    IF expected < 0 OR expected <> last_version OR closed_by IS NOT NULL THEN
        is_known := EXISTS (
            SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_events AS e WHERE e.event_id = i.id)
        );
    END IF;
    is_known := is_known OR EXISTS (
        SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_archive AS e WHERE e.event_id = i.id)
    );
    IF is_known
        OR closed_by IS NOT NULL
        OR last_version > 9223372036854775807 - cardinality(ids)
        OR NOT (CASE expected WHEN -2 THEN true WHEN -1 THEN last_version > 0 ELSE last_version = expected END)
    THEN
        RETURN NEXT;
        RETURN;
    END IF;
    head := factum_head();
    at_time := clock_timestamp();
    -- Positions are drawn here, after the version is settled, in the order of the arrays.
    FOR at_position IN
        INSERT INTO factum_events AS recorded
            (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
        SELECT
            nextval('factum_position'), last_version + e.place, at_time, e.event_id, e.schema_version, of_category,
            of_stream, e.name, e.codec, e.payload, e.metadata
        FROM unnest(ids, names, schema_versions, codecs, payloads, metadatas) WITH ORDINALITY
            AS e (event_id, name, schema_version, codec, payload, metadata, place)
        RETURNING recorded.position
    LOOP
        IF at_position <= head THEN
            PERFORM factum_refuse_position(at_position, head);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
CREATE FUNCTION public.factum_append_group(lock_ms integer, idle_ms integer, appends integer[], categories text[], streams text[], expectations bigint[], counts integer[], parts integer[], numbers integer[], ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[]) RETURNS TABLE(at_positions bigint[], at_time timestamp with time zone, last_version bigint, closed_by text, is_known boolean)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_nestloop TO 'off'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
DECLARE
    head bigint;
    now_ timestamptz;
BEGIN
    PERFORM factum_begin_append(lock_ms, idle_ms);
    head := factum_head();
    now_ := clock_timestamp();
    RETURN QUERY
    WITH part AS MATERIALIZED (
        SELECT
            p.place, p.append, p.category, p.stream,
            coalesce(last.version, 0) AS version,
            CASE WHEN last.name IN ('factum.deleted', 'factum.archived') THEN last.name END AS closed_by,
            CASE p.expected
                WHEN -2 THEN true
                WHEN -1 THEN last.version IS NOT NULL
                ELSE coalesce(last.version, 0) = p.expected
            END AND coalesce(last.version, 0) <= 9223372036854775807 - p.events AS is_met
        FROM unnest(appends, categories, streams, expectations, counts) WITH ORDINALITY
            AS p (append, category, stream, expected, events, place)
        LEFT JOIN LATERAL (
            SELECT e.version, e.name
            FROM factum_events AS e
            WHERE e.category = p.category AND e.stream = p.stream
            ORDER BY e.version DESC
            LIMIT 1
        ) AS last ON true
    ),
    known AS MATERIALIZED (
        SELECT DISTINCT appends[i.part] AS append
        FROM unnest(ids, parts) AS i (id, part)
        WHERE (SELECT true FROM factum_events AS e WHERE e.event_id = i.id)
            OR (SELECT true FROM factum_archive AS e WHERE e.event_id = i.id)
    ),
    refused AS MATERIALIZED (
        SELECT append FROM part WHERE NOT is_met OR closed_by IS NOT NULL
        UNION
        SELECT append FROM known
    ),
    -- Positions are drawn here, after the versions are settled, in the order of the events.
    drawn AS MATERIALIZED (
        SELECT place, part, version, nextval('factum_position') AS position
        FROM (
            SELECT n.place, n.part, p.version + n.number AS version
            FROM unnest(parts, numbers) WITH ORDINALITY AS n (part, number, place)
            JOIN part AS p ON p.place = n.part
            WHERE p.append NOT IN (SELECT append FROM refused)
            ORDER BY n.place
        ) AS accepted
    ),
    -- In one order for everybody, so that no two groups wait for each other.
    recorded AS (
        INSERT INTO factum_events
            (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
        SELECT
            d.position, d.version, now_, e.event_id, e.schema_version, p.category, p.stream, e.name, e.codec, e.payload,
            e.metadata
        FROM drawn AS d
        JOIN part AS p ON p.place = d.part
        JOIN unnest(ids, names, schema_versions, codecs, payloads, metadatas) WITH ORDINALITY
            AS e (event_id, name, schema_version, codec, payload, metadata, place) ON e.place = d.place
        ORDER BY p.category, p.stream, d.version
    )
    SELECT d.positions, now_, p.version, p.closed_by, p.append IN (SELECT append FROM known)
    FROM part AS p
    LEFT JOIN (
        SELECT
            part,
            array_agg(position ORDER BY position) AS positions,
            CASE WHEN min(position) <= head THEN factum_refuse_position(min(position), head) END
        FROM drawn
        GROUP BY part
        OFFSET 0
    ) AS d ON d.part = p.place
    ORDER BY p.place;
END
$$;
CREATE FUNCTION public.factum_begin_append(lock_ms integer, idle_ms integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('lock_timeout', lock_ms::text, true);
    IF idle_ms IS NOT NULL THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'an append cannot see what it has to decide on in a transaction that is %',
                current_setting('transaction_isolation')
            USING ERRCODE = 'FA002', HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.';
        END IF;
        PERFORM set_config('idle_in_transaction_session_timeout', idle_ms::text, true);
        -- For whoever commits the transaction to know that there is something to tell.
        PERFORM set_config('factum.has_appended', 'yes', true);
    END IF;
    PERFORM pg_advisory_xact_lock_shared(1717658484, 'factum_events'::regclass::oid::integer);
END
$$;
CREATE FUNCTION public.factum_begin_retention(lock_ms integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('lock_timeout', lock_ms::text, true);
    PERFORM pg_advisory_xact_lock(1717658484, 'factum_events'::regclass::oid::integer);
END
$$;
CREATE FUNCTION public.factum_close(lock_ms integer, of_category text, of_stream text, expected bigint, new_id uuid, closing text) RETURNS TABLE(at_position bigint, at_time timestamp with time zone, last_version bigint, closed_by text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    last factum_events%ROWTYPE;
BEGIN
    PERFORM factum_begin_retention(lock_ms);
    SELECT * INTO last
    FROM factum_events
    WHERE category = of_category AND stream = of_stream
    ORDER BY version DESC
    LIMIT 1;
    last_version := last.version;
    IF last.name = closing THEN
        at_position := last.position;
        at_time := last.recorded_at;
        RETURN NEXT;
        RETURN;
    END IF;
    IF last.name = 'factum.deleted' THEN
        closed_by := last.name;
    END IF;
    IF last.version IS NULL OR closed_by IS NOT NULL OR (expected >= 0 AND expected <> last.version) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF closing = 'factum.archived' THEN
        INSERT INTO factum_archive
            (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
        SELECT position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata
        FROM factum_events
        WHERE category = of_category AND stream = of_stream;
    ELSE
        UPDATE factum_archive
        SET schema_version = NULL, name = NULL, codec = NULL, payload = NULL, metadata = NULL
        WHERE category = of_category AND stream = of_stream AND name IS NOT NULL;
        INSERT INTO factum_archive (position, version, recorded_at, event_id, category, stream)
        SELECT position, version, recorded_at, event_id, category, stream
        FROM factum_events
        WHERE category = of_category AND stream = of_stream;
    END IF;
    DELETE FROM factum_events WHERE category = of_category AND stream = of_stream;
    RETURN QUERY
    SELECT m.at_position, m.at_time, m.last_version, NULL::text
    FROM factum_mark(of_category, of_stream, last.version + 1, new_id, closing) AS m;
END
$$;
CREATE FUNCTION public.factum_head() RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
    SELECT greatest(
        (SELECT max(position) FROM factum_events), (SELECT max(position) FROM factum_archive), 0
    )
$$;
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
CREATE FUNCTION public.factum_mark(of_category text, of_stream text, new_version bigint, new_id uuid, new_name text, OUT at_position bigint, OUT at_time timestamp with time zone, OUT last_version bigint) RETURNS record
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    head bigint := factum_head();
BEGIN
    INSERT INTO factum_events AS recorded
        (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
    VALUES (
        nextval('factum_position'), new_version, clock_timestamp(), new_id, 1, of_category, of_stream, new_name, 'json',
        '{}', '{}'
    )
    RETURNING recorded.position, recorded.recorded_at, recorded.version INTO at_position, at_time, last_version;
    IF at_position <= head THEN
        PERFORM factum_refuse_position(at_position, head);
    END IF;
END
$$;
CREATE FUNCTION public.factum_refuse_position(drawn bigint, head bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'position % was drawn after position % was used', drawn, head
    USING ERRCODE = 'FA001',
        HINT = 'The sequence factum_position was set back, or the table was restored without it.';
END
$$;
CREATE FUNCTION public.factum_restore(lock_ms integer, of_category text, of_stream text, new_id uuid) RETURNS TABLE(at_position bigint, at_time timestamp with time zone, last_version bigint, closed_by text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    last factum_events%ROWTYPE;
BEGIN
    PERFORM factum_begin_retention(lock_ms);
    SELECT * INTO last
    FROM factum_events
    WHERE category = of_category AND stream = of_stream
    ORDER BY version DESC
    LIMIT 1;
    last_version := last.version;
    IF last.name = 'factum.deleted' THEN
        closed_by := last.name;
        RETURN NEXT;
        RETURN;
    END IF;
    IF last.name IS DISTINCT FROM 'factum.archived' THEN
        at_position := last.position;
        at_time := last.recorded_at;
        RETURN NEXT;
        RETURN;
    END IF;
    INSERT INTO factum_events
        (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
    SELECT position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata
    FROM factum_archive
    WHERE category = of_category AND stream = of_stream AND name IS NOT NULL;
    DELETE FROM factum_archive WHERE category = of_category AND stream = of_stream AND name IS NOT NULL;
    RETURN QUERY
    SELECT m.at_position, m.at_time, m.last_version, NULL::text
    FROM factum_mark(of_category, of_stream, last.version + 1, new_id, 'factum.restored') AS m;
END
$$;
CREATE FUNCTION public.factum_truncate(lock_ms integer, of_category text, of_stream text, before bigint) RETURNS TABLE(last_version bigint, closed_by text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    last factum_events%ROWTYPE;
BEGIN
    PERFORM factum_begin_retention(lock_ms);
    SELECT * INTO last
    FROM factum_events
    WHERE category = of_category AND stream = of_stream
    ORDER BY version DESC
    LIMIT 1;
    last_version := last.version;
    IF last.name IN ('factum.deleted', 'factum.archived') THEN
        closed_by := last.name;
    END IF;
    RETURN NEXT;
    IF last.version IS NULL OR closed_by IS NOT NULL OR last.version < before THEN
        RETURN;
    END IF;
    INSERT INTO factum_archive (position, version, recorded_at, event_id, category, stream)
    SELECT position, version, recorded_at, event_id, category, stream
    FROM factum_events
    WHERE category = of_category AND stream = of_stream AND version < before - 1;
    DELETE FROM factum_events WHERE category = of_category AND stream = of_stream AND version < before - 1;
    UPDATE factum_events
    SET schema_version = 1, name = 'factum.truncated', codec = 'json', payload = '{}', metadata = '{}'
    WHERE category = of_category AND stream = of_stream AND version = before - 1;
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
CREATE TABLE public.factum_archive (
    "position" bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event_id uuid NOT NULL,
    schema_version integer,
    category text NOT NULL COLLATE pg_catalog."C",
    stream text NOT NULL COLLATE pg_catalog."C",
    name text COLLATE pg_catalog."C",
    codec text COLLATE pg_catalog."C",
    payload bytea,
    metadata text COLLATE pg_catalog."C",
    CONSTRAINT factum_archive_content_check CHECK ((num_nonnulls(schema_version, name, codec, payload, metadata) = ANY (ARRAY[0, 5])))
);
CREATE TABLE public.factum_checkpoints (
    subscription text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    moved_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    event_id uuid,
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
INSERT INTO public._factum_migrations VALUES (1, 'events', '2026-11-24 09:00:01+00', true, '\xe1c7ebe5b6ca6565d56fbe27a7b64ac6c8594cd4c02482fcd8bf38c97aba7c95ca188e2780f9d17a1958e2cdd67da1fb', 1000000);
INSERT INTO public._factum_migrations VALUES (2, 'checkpoints', '2026-11-24 09:00:02+00', true, '\xb4652b9e71050634e7cf218c3bca86dd3f8a6bf64de60dd7661fe3242bd3248fe6ded0fb2a04a0c4d6975aa02bdcc7e4', 1000000);
INSERT INTO public._factum_migrations VALUES (3, 'appends', '2026-11-24 09:00:03+00', true, '\x2860e842895a0696a29cb12216ad26cb641704334c8d7d331d625fd41e37ccc8f5b0aef6105dc4588ac978bb61d42e65', 1000000);
INSERT INTO public._factum_migrations VALUES (4, 'retention', '2026-11-24 09:00:04+00', true, '\x01a0ffe650049279edbc9ef5dcf7f282c77716fb47cbfab400fd191f7908142356c6c838f4f165db65c37c4b05db293f', 1000000);
INSERT INTO public.factum_archive VALUES (2, 1, '2025-11-09 08:53:20.000002+00', '01910000-0000-7000-8000-000000000002', NULL, 'order', 'cut', NULL, NULL, NULL, NULL);
INSERT INTO public.factum_archive VALUES (3, 2, '2025-11-09 08:53:20.000003+00', '01910000-0000-7000-8000-000000000003', NULL, 'order', 'cut', NULL, NULL, NULL, NULL);
INSERT INTO public.factum_archive VALUES (7, 1, '2025-11-09 08:53:20.000007+00', '01910000-0000-7000-8000-000000000007', NULL, 'order', 'erased', NULL, NULL, NULL, NULL);
INSERT INTO public.factum_archive VALUES (8, 2, '2025-11-09 08:53:20.000008+00', '01910000-0000-7000-8000-000000000008', NULL, 'order', 'erased', NULL, NULL, NULL, NULL);
INSERT INTO public.factum_archive VALUES (9, 1, '2025-11-09 08:53:20.000009+00', '01910000-0000-7000-8000-000000000009', 1, 'order', 'apart', 'order.placed', 'json', '\x7b22637573746f6d6572223a224469222c226c696e6573223a5b5d7d', '{}');
INSERT INTO public.factum_archive VALUES (10, 2, '2025-11-09 08:53:20.00001+00', '01910000-0000-7000-8000-000000000010', 1, 'order', 'apart', 'order.shipped', 'json', '\x7b2270617263656c223a225033227d', '{"correlation_id":"01910000-0000-7000-8000-000000000009","causation_id":"01910000-0000-7000-8000-000000000009","occurred_at":"2025-11-09T00:00:00Z"}');
INSERT INTO public.factum_checkpoints VALUES ('mails', 6, '2025-11-09 09:00:00+00', NULL);
INSERT INTO public.factum_checkpoints VALUES ('spend', 10, '2025-11-09 09:00:00+00', '01910000-0000-7000-8000-000000000010');
INSERT INTO public.factum_checkpoints VALUES ('late', 13, '2025-11-09 09:00:00+00', '01910000-0000-7000-8000-000000000013');
INSERT INTO public.factum_events VALUES (1, 1, '2025-11-09 08:53:20.000001+00', '01910000-0000-7000-8000-000000000001', 1, 'order', '1', 'order.placed', 'json', '\x7b22637573746f6d6572223a22416461222c226c696e6573223a5b224b696e64206f6620426c7565225d7d', '{}');
INSERT INTO public.factum_events VALUES (5, 4, '2025-11-09 08:53:20.000005+00', '01910000-0000-7000-8000-000000000005', 1, 'order', 'cut', 'order.shipped', 'json', '\x7b2270617263656c223a225032227d', '{}');
INSERT INTO public.factum_events VALUES (12, 1, '2025-11-09 08:53:20.000012+00', '01910000-0000-7000-8000-000000000012', 1, 'cart', 'a/b', 'cart.filled', 'bytes', '\xff00fe', '{}');
INSERT INTO public.factum_events VALUES (4, 3, '2025-11-09 08:53:20.000004+00', '01910000-0000-7000-8000-000000000004', 1, 'order', 'cut', 'factum.truncated', 'json', '\x7b7d', '{}');
INSERT INTO public.factum_events VALUES (13, 3, '2025-11-09 08:53:20.000013+00', '01910000-0000-7000-8000-000000000013', 1, 'order', 'erased', 'factum.deleted', 'json', '\x7b7d', '{}');
INSERT INTO public.factum_events VALUES (14, 3, '2025-11-09 08:53:20.000014+00', '01910000-0000-7000-8000-000000000014', 1, 'order', 'apart', 'factum.archived', 'json', '\x7b7d', '{}');
INSERT INTO public.factum_events VALUES (15, 2, '2025-11-09 08:53:20.000015+00', '01910000-0000-7000-8000-000000000015', 1, 'order', 'back', 'factum.archived', 'json', '\x7b7d', '{}');
INSERT INTO public.factum_events VALUES (11, 1, '2025-11-09 08:53:20.000011+00', '01910000-0000-7000-8000-000000000011', 1, 'order', 'back', 'order.placed', 'json', '\x7b22637573746f6d6572223a224564222c226c696e6573223a5b5d7d', '{}');
INSERT INTO public.factum_events VALUES (16, 3, '2025-11-09 08:53:20.000016+00', '01910000-0000-7000-8000-000000000016', 1, 'order', 'back', 'factum.restored', 'json', '\x7b7d', '{}');
INSERT INTO public.factum_events VALUES (17, 2, '2025-11-09 08:53:20.000017+00', '01910000-0000-7000-8000-000000000017', 1, 'order', '1', 'order.shipped', 'json', '\x7b2270617263656c223a225031227d', '{}');
SELECT pg_catalog.setval('public.factum_position', 17, true);
ALTER TABLE ONLY public._factum_migrations
    ADD CONSTRAINT _factum_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.factum_archive
    ADD CONSTRAINT factum_archive_event_id_key UNIQUE (event_id);
ALTER TABLE ONLY public.factum_archive
    ADD CONSTRAINT factum_archive_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.factum_archive
    ADD CONSTRAINT factum_archive_stream_version_key UNIQUE (category, stream, version);
ALTER TABLE ONLY public.factum_checkpoints
    ADD CONSTRAINT factum_checkpoints_pkey PRIMARY KEY (subscription);
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_event_id_key UNIQUE (event_id);
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.factum_events
    ADD CONSTRAINT factum_events_stream_version_key UNIQUE (category, stream, version);
