-- What the files in `migrations` add up to, for reading. A test compares the two; nothing runs this file.

CREATE SEQUENCE factum_position AS bigint MINVALUE 1 NO CYCLE CACHE 1;

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
    metadata       text        NOT NULL COLLATE "C",
    CONSTRAINT factum_events_pkey PRIMARY KEY (position),
    CONSTRAINT factum_events_stream_version_key UNIQUE (category, stream, version),
    CONSTRAINT factum_events_event_id_key UNIQUE (event_id),
    CONSTRAINT factum_events_position_check CHECK (position > 0),
    CONSTRAINT factum_events_version_check CHECK (version > 0),
    CONSTRAINT factum_events_schema_version_check CHECK (schema_version > 0)
);

ALTER SEQUENCE factum_position OWNED BY factum_events.position;

CREATE SEQUENCE factum_alone AS bigint MINVALUE 1 CACHE 1;

CREATE TABLE factum_archive (
    position       bigint      NOT NULL,
    version        bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    event_id       uuid        NOT NULL,
    schema_version integer,
    category       text        NOT NULL COLLATE "C",
    stream         text        NOT NULL COLLATE "C",
    name           text        COLLATE "C",
    codec          text        COLLATE "C",
    payload        bytea,
    metadata       text        COLLATE "C",
    CONSTRAINT factum_archive_pkey PRIMARY KEY (position),
    CONSTRAINT factum_archive_stream_version_key UNIQUE (category, stream, version),
    CONSTRAINT factum_archive_event_id_key UNIQUE (event_id),
    CONSTRAINT factum_archive_content_check
        CHECK (num_nonnulls(schema_version, name, codec, payload, metadata) IN (0, 5))
);

CREATE INDEX factum_events_tenant ON factum_events (split_part(category, '~', 1), position)
WHERE strpos(category, '~') > 0;

CREATE INDEX factum_archive_tenant ON factum_archive (split_part(category, '~', 1), position)
WHERE strpos(category, '~') > 0;

CREATE TABLE factum_tags (
    tag      text   NOT NULL COLLATE "C",
    name     text   NOT NULL COLLATE "C",
    position bigint NOT NULL,
    CONSTRAINT factum_tags_pkey PRIMARY KEY (tag, name, position)
);

CREATE TABLE factum_checkpoints (
    subscription text        NOT NULL COLLATE "C",
    position     bigint      NOT NULL,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id     uuid,
    partition    integer     NOT NULL DEFAULT 0,
    partitions   integer     NOT NULL DEFAULT 1,
    token        bigint      NOT NULL DEFAULT 0,
    node         uuid,
    leased_until timestamptz,
    CONSTRAINT factum_checkpoints_pkey PRIMARY KEY (subscription, partition),
    CONSTRAINT factum_checkpoints_position_check CHECK (position >= 0),
    CONSTRAINT factum_checkpoints_partition_check CHECK (partition >= 0 AND partition < partitions),
    CONSTRAINT factum_checkpoints_lease_check CHECK ((node IS NULL) = (leased_until IS NULL))
);

CREATE TABLE factum_nodes (
    subscription text        NOT NULL COLLATE "C",
    node         uuid        NOT NULL,
    there_until  timestamptz NOT NULL,
    CONSTRAINT factum_nodes_pkey PRIMARY KEY (subscription, node)
);

CREATE TABLE factum_dead_letters (
    subscription text        NOT NULL COLLATE "C",
    position     bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    category     text        NOT NULL COLLATE "C",
    stream       text        NOT NULL COLLATE "C",
    version      bigint      NOT NULL,
    name         text        NOT NULL COLLATE "C",
    holds_stream boolean     NOT NULL,
    attempts     integer     NOT NULL,
    handler      text        COLLATE "C",
    errors       text[],
    is_due       boolean     NOT NULL,
    parked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT factum_dead_letters_pkey PRIMARY KEY (subscription, position),
    CONSTRAINT factum_dead_letters_attempts_check CHECK (attempts >= 0),
    CONSTRAINT factum_dead_letters_failure_check CHECK ((handler IS NULL) = (errors IS NULL))
);

CREATE INDEX factum_dead_letters_stream ON factum_dead_letters (subscription, category, stream, position)
WHERE holds_stream;

CREATE TABLE factum_timers (
    process  text        NOT NULL COLLATE "C",
    event_id uuid        NOT NULL,
    due_at   timestamptz NOT NULL,
    CONSTRAINT factum_timers_pkey PRIMARY KEY (process, event_id)
);

CREATE INDEX factum_timers_due ON factum_timers (process, due_at);

CREATE TABLE factum_changes (
    only_row boolean NOT NULL DEFAULT true,
    count    bigint  NOT NULL,
    CONSTRAINT factum_changes_pkey PRIMARY KEY (only_row),
    CONSTRAINT factum_changes_only_row_check CHECK (only_row),
    CONSTRAINT factum_changes_count_check CHECK (count >= 0)
);

CREATE TABLE factum_snapshots (
    category text    NOT NULL COLLATE "C",
    stream   text    NOT NULL COLLATE "C",
    shape    integer NOT NULL,
    version  bigint  NOT NULL,
    position bigint  NOT NULL,
    event_id uuid    NOT NULL,
    begins   bigint  NOT NULL,
    codec    text    NOT NULL COLLATE "C",
    checksum bigint  NOT NULL,
    state    bytea   NOT NULL,
    CONSTRAINT factum_snapshots_pkey PRIMARY KEY (category, stream, shape),
    CONSTRAINT factum_snapshots_shape_check CHECK (shape > 0),
    CONSTRAINT factum_snapshots_version_check CHECK (version > 0),
    CONSTRAINT factum_snapshots_position_check CHECK (position > 0),
    CONSTRAINT factum_snapshots_begins_check CHECK (begins >= 0)
);

CREATE FUNCTION factum_jsonb(content bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL UNSAFE AS $$
BEGIN
    RETURN pg_catalog.convert_from(content, 'UTF8')::pg_catalog.jsonb;
EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
END
$$;

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

CREATE VIEW factum_events_json AS
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

CREATE FUNCTION factum_tags_of(metadata text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT json_array_elements_text(
        regexp_replace(metadata, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g')::json -> 'tags'
    )
    WHERE metadata LIKE '%"tags":%'
$$;

CREATE FUNCTION factum_untag(of_category text, of_stream text, before bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    DELETE FROM factum_tags AS t
    USING (
        SELECT e.name, e.position, factum_tags_of(e.metadata) AS tag
        FROM (
            SELECT name, position, metadata
            FROM factum_events
            WHERE category = of_category AND stream = of_stream AND version < before
            UNION ALL
            SELECT name, position, metadata
            FROM factum_archive
            WHERE category = of_category AND stream = of_stream AND version < before AND name IS NOT NULL
        ) AS e
    ) AS gone
    WHERE t.tag = gone.tag AND t.name = gone.name AND t.position = gone.position
$$;

CREATE FUNCTION factum_names_tagged(of_tag text) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    names text[] := '{}';
    next text := '';
BEGIN
    LOOP
        next := (SELECT t.name FROM factum_tags AS t WHERE t.tag = of_tag AND t.name > next ORDER BY t.name LIMIT 1);
        EXIT WHEN next IS NULL;
        names := names || next;
    END LOOP;
    RETURN names;
END
$$;

CREATE FUNCTION factum_tagged(of_tags text[], of_name text, after bigint, most integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    at bigint := after;
    farthest bigint;
    nearest bigint;
    missing integer := most;
BEGIN
    IF cardinality(of_tags) = 1 THEN
        RETURN QUERY
        SELECT t.position
        FROM factum_tags AS t
        WHERE t.tag = of_tags[1] AND t.name = of_name AND t.position > after
        ORDER BY t.position
        LIMIT most;
        RETURN;
    END IF;
    -- Each tag says where its next event is. Nothing before the farthest of these can have all of the tags: so a rare tag leaps
    -- over the events of one that many have.
    WHILE missing > 0 LOOP
        SELECT min(coalesce(n.position, -1)), max(n.position) INTO nearest, farthest
        FROM unnest(of_tags) AS w (tag)
        LEFT JOIN LATERAL (
            SELECT t.position
            FROM factum_tags AS t
            WHERE t.tag = w.tag AND t.name = of_name AND t.position > at
            ORDER BY t.position
            LIMIT 1
        ) AS n ON true;
        EXIT WHEN nearest = -1;
        IF nearest = farthest THEN
            RETURN NEXT nearest;
            missing := missing - 1;
            at := nearest;
        ELSE
            at := farthest - 1;
        END IF;
    END LOOP;
END
$$;

-- The first events of a tenant after a position and up to another, in any order.
CREATE FUNCTION factum_of_tenant(tenant text, prefix text, after bigint, up_to bigint, most bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
-- What the statistics say of a table that has just begun to grow is not worth a plan.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT e.position
    FROM (
        (
            SELECT position
            FROM factum_events
            WHERE strpos(category, '~') > 0 AND split_part(category, '~', 1) = tenant
                AND starts_with(category, prefix)
                AND position > after AND position <= up_to
            ORDER BY position
            LIMIT most
        )
        UNION ALL
        (
            SELECT position
            FROM factum_archive
            WHERE strpos(category, '~') > 0 AND split_part(category, '~', 1) = tenant
                AND starts_with(category, prefix)
                AND position > after AND position <= up_to AND name IS NOT NULL
            ORDER BY position
            LIMIT most
        )
    ) AS e
    ORDER BY e.position
    LIMIT most;
END
$$;

CREATE FUNCTION factum_matching(query jsonb, after bigint, most integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
-- What the statistics say of a table that has just begun to grow is not worth a plan.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    item jsonb;
    of_names text[];
    of_tags text[];
    of_name text;
BEGIN
    FOR item IN SELECT jsonb_array_elements(query) LOOP
        of_names := ARRAY(SELECT jsonb_array_elements_text(item -> 'names'));
        of_tags := ARRAY(SELECT jsonb_array_elements_text(item -> 'tags'));
        IF cardinality(of_tags) > 0 THEN
            IF cardinality(of_names) = 0 THEN
                of_names := factum_names_tagged(of_tags[1]);
            END IF;
            FOREACH of_name IN ARRAY of_names LOOP
                RETURN QUERY SELECT factum_tagged(of_tags, of_name, after, most);
            END LOOP;
        ELSIF item ? 'tenant' THEN
            RETURN QUERY
            SELECT e.position
            FROM (
                (
                    SELECT position
                    FROM factum_events
                    WHERE strpos(category, '~') > 0 AND split_part(category, '~', 1) = item ->> 'tenant'
                        AND starts_with(category, item ->> 'prefix')
                        AND position > after
                        AND (cardinality(of_names) = 0 OR name = ANY (of_names))
                    ORDER BY position
                    LIMIT most
                )
                UNION ALL
                (
                    SELECT position
                    FROM factum_archive
                    WHERE strpos(category, '~') > 0 AND split_part(category, '~', 1) = item ->> 'tenant'
                        AND starts_with(category, item ->> 'prefix')
                        AND position > after AND name IS NOT NULL
                        AND (cardinality(of_names) = 0 OR name = ANY (of_names))
                    ORDER BY position
                    LIMIT most
                )
            ) AS e
            ORDER BY e.position
            LIMIT most;
        ELSE
            RETURN QUERY
            SELECT e.position
            FROM (
                SELECT position, name FROM factum_events
                UNION ALL
                SELECT position, name FROM factum_archive WHERE name IS NOT NULL
            ) AS e
            WHERE e.position > after AND (cardinality(of_names) = 0 OR e.name = ANY (of_names))
            ORDER BY e.position
            LIMIT most;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION factum_breach(condition jsonb, OUT at_position bigint, OUT of_name text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    after bigint := condition -> 'after';
    seen bigint[] := ARRAY(SELECT jsonb_array_elements(condition -> 'seen')::bigint);
    event uuid := condition ->> 'event';
BEGIN
    IF event IS NOT NULL THEN
        IF event IS DISTINCT FROM factum_event_at(after) THEN
            at_position := after;
            RETURN;
        END IF;
    END IF;
    at_position := (
        SELECT min(m.position)
        FROM factum_matching(condition -> 'query', after, cardinality(seen) + 1) AS m (position)
        WHERE m.position <> ALL (seen)
    );
    IF at_position IS NOT NULL THEN
        SELECT e.name INTO of_name FROM factum_events AS e WHERE e.position = at_position;
        IF NOT FOUND THEN
            SELECT e.name INTO of_name FROM factum_archive AS e WHERE e.position = at_position;
        END IF;
    END IF;
END
$$;

CREATE FUNCTION factum_event_at(at_or_below bigint) RETURNS uuid
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT e.event_id
        FROM (
            (
                SELECT position, event_id
                FROM factum_events
                WHERE position <= at_or_below
                ORDER BY position DESC
                LIMIT 1
            )
            UNION ALL
            (
                SELECT position, event_id
                FROM factum_archive
                WHERE position <= at_or_below
                ORDER BY position DESC
                LIMIT 1
            )
        ) AS e
        ORDER BY e.position DESC
        LIMIT 1
    );
END
$$;

CREATE FUNCTION factum_note_alone() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM setval('factum_alone', pg_current_xact_id()::text::bigint);
END
$$;

CREATE FUNCTION factum_begin_append(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    log integer := 'factum_events'::regclass::oid::integer;
    done text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM factum_refuse_isolation();
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        done := set_config('synchronous_commit', 'on', true);
    END IF;
    done := set_config('lock_timeout', lock_ms::text, true);
    IF idle_ms IS NOT NULL THEN
        done := set_config('idle_in_transaction_session_timeout', idle_ms::text, true);
        -- For whoever commits the transaction to know that there is something to tell.
        done := set_config('factum.has_appended', 'yes', true);
    END IF;
    IF alone THEN
        done := pg_advisory_xact_lock(1717658484, log);
        done := factum_note_alone();
    ELSE
        done := pg_advisory_xact_lock_shared(1717658484, log);
        IF NOT pg_visible_in_snapshot(pg_sequence_last_value('factum_alone')::text::xid8, pg_current_snapshot()) THEN
            done := factum_note_alone();
        END IF;
    END IF;
    FOR place IN 1 .. cardinality(claims) LOOP
        -- The number of the table keeps the stores of several schemas apart.
        IF are_exclusive[place] THEN
            done := pg_advisory_xact_lock(1717658485, claims[place] # log);
        ELSE
            done := pg_advisory_xact_lock_shared(1717658485, claims[place] # log);
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION factum_refuse_isolation() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a transaction that is % cannot see what it has to decide on',
        current_setting('transaction_isolation')
    USING ERRCODE = 'FA002',
        HINT = 'Begin it with BEGIN ISOLATION LEVEL READ COMMITTED, or set default_transaction_isolation of the connection.';
END
$$;

CREATE FUNCTION factum_head() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN greatest(
        (SELECT max(position) FROM factum_events), (SELECT max(position) FROM factum_archive), 0
    );
END
$$;

CREATE FUNCTION factum_refuse_position(drawn bigint, head bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'position % was drawn after position % was used', drawn, head
    USING ERRCODE = 'FA001',
        HINT = 'The sequence factum_position was set back, or the table was restored without it.';
END
$$;

CREATE FUNCTION factum_append(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[],
    of_category text, of_stream text, expected bigint, condition text,
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[],
    tagged integer[], tags text[]
) RETURNS TABLE (
    at_position bigint, at_time timestamptz, last_version bigint, closed_by text, is_known boolean,
    breach_position bigint, breach_name text
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    done text;
    last_name text;
    head bigint;
    positions bigint[];
BEGIN
    done := factum_begin_append(lock_ms, idle_ms, alone, claims, are_exclusive);
    SELECT
        greatest((SELECT max(position) FROM factum_events), (SELECT max(position) FROM factum_archive), 0),
        coalesce(last.version, 0),
        last.name,
        EXISTS (SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_archive AS e WHERE e.event_id = i.id))
    INTO head, last_version, last_name, is_known
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT e.version, e.name
        FROM factum_events AS e
        WHERE e.category = of_category AND e.stream = of_stream
        ORDER BY e.version DESC
        LIMIT 1
    ) AS last ON true;
    IF last_name IN ('factum.deleted', 'factum.archived') THEN
        closed_by := last_name;
    END IF;
    IF condition IS NOT NULL THEN
        SELECT b.at_position, b.of_name INTO breach_position, breach_name FROM factum_breach(condition::jsonb) AS b;
    END IF;
    -- Where the version is the expected one, the ids are no repetition, and the constraint refuses those that are taken.
    IF expected < 0 OR expected <> last_version OR closed_by IS NOT NULL OR breach_position IS NOT NULL THEN
        is_known := is_known OR EXISTS (
            SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_events AS e WHERE e.event_id = i.id)
        );
    END IF;
    IF is_known
        OR closed_by IS NOT NULL
        OR breach_position IS NOT NULL
        OR last_version > 9223372036854775807 - cardinality(ids)
        OR NOT (CASE expected WHEN -2 THEN true WHEN -1 THEN last_version > 0 ELSE last_version = expected END)
    THEN
        RETURN NEXT;
        RETURN;
    END IF;
    at_time := clock_timestamp();
    -- Positions are drawn here, after the version is settled, in the order of the arrays.
    WITH recorded AS (
        INSERT INTO factum_events
            (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
        SELECT
            nextval('factum_position'), last_version + e.place, at_time, e.event_id, e.schema_version, of_category,
            of_stream, e.name, e.codec, e.payload, e.metadata
        FROM unnest(ids, names, schema_versions, codecs, payloads, metadatas) WITH ORDINALITY
            AS e (event_id, name, schema_version, codec, payload, metadata, place)
        RETURNING position
    )
    SELECT array_agg(r.position) INTO positions FROM recorded AS r;
    IF positions[1] <= head THEN
        PERFORM factum_refuse_position(positions[1], head);
    END IF;
    IF cardinality(tags) > 0 THEN
        INSERT INTO factum_tags (tag, name, position)
        SELECT t.tag, names[t.event], positions[t.event] FROM unnest(tagged, tags) AS t (event, tag);
    END IF;
    FOREACH at_position IN ARRAY positions LOOP
        RETURN NEXT;
    END LOOP;
END
$$;

-- The same, for groups of which something may be refused.
CREATE FUNCTION factum_judge_group(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[],
    appends integer[], categories text[], streams text[], expectations bigint[], counts integer[],
    conditions text[], parts integer[], numbers integer[],
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[],
    tagged integer[], tags text[]
) RETURNS TABLE (
    at_positions bigint[], at_time timestamptz, last_version bigint, closed_by text, is_known boolean,
    breach_position bigint, breach_name text
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET enable_nestloop = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    head bigint;
    now_ timestamptz;
BEGIN
    PERFORM factum_begin_append(lock_ms, idle_ms, alone, claims, are_exclusive);
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
    breached AS MATERIALIZED (
        SELECT c.append, b.at_position, b.of_name
        FROM unnest(conditions) WITH ORDINALITY AS c (condition, append)
        CROSS JOIN LATERAL factum_breach(c.condition::jsonb) AS b
        WHERE c.condition IS NOT NULL AND b.at_position IS NOT NULL
    ),
    refused AS MATERIALIZED (
        SELECT append FROM part WHERE NOT is_met OR closed_by IS NOT NULL
        UNION
        SELECT append FROM known
        UNION
        SELECT append FROM breached
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
    ),
    tagging AS (
        INSERT INTO factum_tags (tag, name, position)
        SELECT t.tag, names[t.event], d.position
        FROM unnest(tagged, tags) AS t (event, tag)
        JOIN drawn AS d ON d.place = t.event
    )
    SELECT
        d.positions, now_, p.version, p.closed_by, p.append IN (SELECT append FROM known), b.at_position, b.of_name
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
    LEFT JOIN breached AS b ON b.append = p.append
    ORDER BY p.place;
END
$$;

CREATE FUNCTION factum_append_group(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[],
    appends integer[], categories text[], streams text[], expectations bigint[], counts integer[],
    conditions text[], parts integer[], numbers integer[],
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[],
    tagged integer[], tags text[]
) RETURNS TABLE (
    at_positions bigint[], at_time timestamptz, last_version bigint, closed_by text, is_known boolean,
    breach_position bigint, breach_name text
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    done text;
    head bigint;
    versions bigint[];
    can_refuse boolean;
    positions bigint[];
    first integer := 1;
BEGIN
    done := factum_begin_append(lock_ms, idle_ms, alone, claims, are_exclusive);
    -- Where a version is the expected one, the ids are no repetition, and the constraint refuses those that are taken.
    SELECT
        greatest((SELECT max(position) FROM factum_events), (SELECT max(position) FROM factum_archive), 0),
        array_agg(coalesce(last.version, 0) ORDER BY p.place),
        bool_or(
            coalesce(last.version, 0) <> p.expected
            OR coalesce(last.name IN ('factum.deleted', 'factum.archived'), false)
            OR p.expected > 9223372036854775807 - p.events
        ) OR EXISTS (
            SELECT FROM unnest(conditions) AS c (condition) WHERE c.condition IS NOT NULL
        ) OR EXISTS (
            SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_archive AS e WHERE e.event_id = i.id)
        )
    INTO head, versions, can_refuse
    FROM unnest(categories, streams, expectations, counts) WITH ORDINALITY
        AS p (category, stream, expected, events, place)
    LEFT JOIN LATERAL (
        SELECT e.version, e.name
        FROM factum_events AS e
        WHERE e.category = p.category AND e.stream = p.stream
        ORDER BY e.version DESC
        LIMIT 1
    ) AS last ON true;
    IF can_refuse THEN
        RETURN QUERY SELECT * FROM factum_judge_group(
            lock_ms, idle_ms, alone, claims, are_exclusive, appends, categories, streams, expectations, counts,
            conditions, parts, numbers, ids, names, schema_versions, codecs, payloads, metadatas, tagged, tags
        );
        RETURN;
    END IF;
    at_time := clock_timestamp();
    is_known := false;
    -- Positions are drawn here, after the versions are settled, in the order of the events; and written in one order for
    -- everybody, so that no two groups wait for each other.
    WITH recorded AS (
        INSERT INTO factum_events
            (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
        SELECT
            d.position, d.version, at_time, d.event_id, d.schema_version, d.category, d.stream, d.name, d.codec, d.payload,
            d.metadata
        FROM (
            SELECT
                nextval('factum_position') AS position, versions[e.part] + e.number AS version,
                categories[e.part] AS category, streams[e.part] AS stream, e.*
            FROM unnest(parts, numbers, ids, names, schema_versions, codecs, payloads, metadatas)
                AS e (part, number, event_id, name, schema_version, codec, payload, metadata)
            OFFSET 0
        ) AS d
        ORDER BY d.category, d.stream, d.version
        RETURNING position
    )
    SELECT array_agg(r.position ORDER BY r.position) INTO positions FROM recorded AS r;
    IF positions[1] <= head THEN
        PERFORM factum_refuse_position(positions[1], head);
    END IF;
    IF cardinality(tags) > 0 THEN
        INSERT INTO factum_tags (tag, name, position)
        SELECT t.tag, names[t.event], positions[t.event] FROM unnest(tagged, tags) AS t (event, tag);
    END IF;
    FOR place IN 1 .. cardinality(streams) LOOP
        last_version := versions[place];
        at_positions := positions[first : first + counts[place] - 1];
        first := first + counts[place];
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE FUNCTION factum_begin_retention(lock_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM factum_refuse_isolation();
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('lock_timeout', lock_ms::text, true);
    PERFORM pg_advisory_xact_lock(1717658484, 'factum_events'::regclass::oid::integer);
    PERFORM factum_note_alone();
END
$$;

CREATE FUNCTION factum_count_change() RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE factum_changes SET count = count + 1
$$;

CREATE FUNCTION factum_mark(
    of_category text, of_stream text, new_version bigint, new_id uuid, new_name text,
    OUT at_position bigint, OUT at_time timestamptz, OUT last_version bigint
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    head bigint := factum_head();
BEGIN
    PERFORM factum_count_change();
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

CREATE FUNCTION factum_close(
    lock_ms integer, of_category text, of_stream text, expected bigint, new_id uuid, closing text
) RETURNS TABLE (at_position bigint, at_time timestamptz, last_version bigint, closed_by text)
LANGUAGE plpgsql VOLATILE AS $$
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
        PERFORM factum_untag(of_category, of_stream, last.version + 1);
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

CREATE FUNCTION factum_restore(lock_ms integer, of_category text, of_stream text, new_id uuid)
RETURNS TABLE (at_position bigint, at_time timestamptz, last_version bigint, closed_by text)
LANGUAGE plpgsql VOLATILE AS $$
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

CREATE FUNCTION factum_truncate(lock_ms integer, of_category text, of_stream text, before bigint)
RETURNS TABLE (last_version bigint, closed_by text)
LANGUAGE plpgsql VOLATILE AS $$
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
    PERFORM factum_untag(of_category, of_stream, before);
    INSERT INTO factum_archive (position, version, recorded_at, event_id, category, stream)
    SELECT position, version, recorded_at, event_id, category, stream
    FROM factum_events
    WHERE category = of_category AND stream = of_stream AND version < before - 1;
    DELETE FROM factum_events WHERE category = of_category AND stream = of_stream AND version < before - 1;
    UPDATE factum_events
    SET schema_version = 1, name = 'factum.truncated', codec = 'json', payload = '{}', metadata = '{}'
    WHERE category = of_category AND stream = of_stream AND version = before - 1 AND name <> 'factum.truncated';
    IF FOUND THEN
        PERFORM factum_count_change();
    END IF;
END
$$;

CREATE FUNCTION factum_stands(
    of_category text, of_stream text, at_version bigint, with_event_id uuid, that_begins bigint
) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN EXISTS (
        SELECT FROM factum_events
        WHERE category = of_category AND stream = of_stream AND version = at_version AND event_id = with_event_id
    ) AND that_begins = (
        SELECT CASE name WHEN 'factum.truncated' THEN version ELSE 0 END
        FROM factum_events
        WHERE category = of_category AND stream = of_stream
        ORDER BY version
        LIMIT 1
    );
END
$$;

CREATE FUNCTION factum_save_snapshot(
    lock_ms integer, of_category text, of_stream text, of_shape integer,
    at_version bigint, at_position bigint, with_event_id uuid, that_begins bigint,
    in_codec text, with_checksum bigint, new_state bytea
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    is_kept boolean;
BEGIN
    PERFORM factum_begin_append(lock_ms, NULL, false, '{}', '{}');
    -- A snapshot that a crash of the server takes away is taken once more.
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT factum_stands(of_category, of_stream, at_version, with_event_id, that_begins) THEN
        RETURN false;
    END IF;
    INSERT INTO factum_snapshots AS kept
        (category, stream, shape, version, position, event_id, begins, codec, checksum, state)
    VALUES (
        of_category, of_stream, of_shape, at_version, at_position, with_event_id, that_begins, in_codec, with_checksum,
        new_state
    )
    ON CONFLICT (category, stream, shape) DO UPDATE SET
        version = excluded.version, position = excluded.position, event_id = excluded.event_id, begins = excluded.begins,
        codec = excluded.codec, checksum = excluded.checksum, state = excluded.state
    WHERE kept.version < excluded.version
        -- A newer one stays only if it stands, too.
        OR NOT factum_stands(kept.category, kept.stream, kept.version, kept.event_id, kept.begins);
    is_kept := FOUND;
    -- Of the other shapes the greatest stays.
    DELETE FROM factum_snapshots
    WHERE category = of_category AND stream = of_stream AND shape <> of_shape
        AND shape < (
            SELECT max(other.shape)
            FROM factum_snapshots AS other
            WHERE other.category = of_category AND other.stream = of_stream AND other.shape <> of_shape
        );
    RETURN is_kept;
END
$$;

CREATE FUNCTION factum_close_and_forget(
    lock_ms integer, of_category text, of_stream text, expected bigint, new_id uuid, closing text
) RETURNS TABLE (at_position bigint, at_time timestamptz, last_version bigint, closed_by text)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN QUERY SELECT * FROM factum_close(lock_ms, of_category, of_stream, expected, new_id, closing);
    DELETE FROM factum_snapshots AS s WHERE s.category = of_category AND s.stream = of_stream;
END
$$;

CREATE FUNCTION factum_truncate_and_forget(lock_ms integer, of_category text, of_stream text, before bigint)
RETURNS TABLE (last_version bigint, closed_by text)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN QUERY SELECT * FROM factum_truncate(lock_ms, of_category, of_stream, before);
    DELETE FROM factum_snapshots AS s WHERE s.category = of_category AND s.stream = of_stream;
END
$$;
