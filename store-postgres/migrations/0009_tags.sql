-- What events are about, and appends on the condition that nothing came in between.

-- One row for each tag of an event, archived or not. A query asks for a tag, often for names too, and for what came after a
-- position: with the three in one key each such question is one look at the index, however many events have the tag.
CREATE TABLE factum_tags (
    tag      text   NOT NULL COLLATE "C",
    name     text   NOT NULL COLLATE "C",
    position bigint NOT NULL,
    CONSTRAINT factum_tags_pkey PRIMARY KEY (tag, name, position)
);

-- The tags in the metadata of an event. Metadata may have NUL characters, which the functions for JSON refuse even where nobody
-- asks for them. No tag has one: so tags stay as they are if another character takes their place. (What looks like one behind a
-- backslash is that backslash, and text.)
CREATE FUNCTION factum_tags_of(metadata text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT json_array_elements_text(
        regexp_replace(metadata, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g')::json -> 'tags'
    )
    WHERE metadata LIKE '%"tags":%'
$$;

-- Forgets what the events of a stream before a version are about.
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

-- The names of the events that have a tag: one look at the index for each, however many events there are.
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

-- The positions after `after`, in order and at most so many, of the events of one name that have all of the tags.
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

-- The positions after `after` of the events that match a query: of each of its items at most so many, the first ones. A query is a
-- JSON array of objects with `names` and `tags`.
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

-- What breaks a condition: the first event that matches its query after what the decision had seen of the log. Nothing, if it
-- holds; the position alone, if the log is not the one that was read, because another event or none is there.
-- A condition is a JSON object: `query`; `after`, a position, and `event`, the id of the last event at or below; `seen`, the
-- positions after it that were seen.
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

-- The id of the last event at or below a position.
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

DROP FUNCTION factum_append(
    integer, integer, text, text, bigint, uuid[], text[], integer[], text[], bytea[], text[]
);
DROP FUNCTION factum_append_group(
    integer, integer, integer[], text[], text[], bigint[], integer[], integer[], integer[],
    uuid[], text[], integer[], text[], bytea[], text[]
);
DROP FUNCTION factum_begin_append(integer, integer);

-- As before (migration 5), and then the locks by which an append and a condition that concern each other take turns: for each
-- name and tag of its events a shared one, since these appends do not concern each other; and an exclusive one for what its
-- condition asks about, so that nobody who writes that is under way when it is looked at. `claims` are in ascending
-- order, so that nobody waits in a circle. `alone` is for an append that may concern everybody.
CREATE FUNCTION factum_begin_append(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[]
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    log integer := 'factum_events'::regclass::oid::integer;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        PERFORM factum_refuse_isolation();
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('lock_timeout', lock_ms::text, true);
    IF idle_ms IS NOT NULL THEN
        PERFORM set_config('idle_in_transaction_session_timeout', idle_ms::text, true);
        -- For whoever commits the transaction to know that there is something to tell.
        PERFORM set_config('factum.has_appended', 'yes', true);
    END IF;
    IF alone THEN
        PERFORM pg_advisory_xact_lock(1717658484, log);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(1717658484, log);
    END IF;
    FOR place IN 1 .. cardinality(claims) LOOP
        -- The number of the table keeps the stores of several schemas apart.
        IF are_exclusive[place] THEN
            PERFORM pg_advisory_xact_lock(1717658485, claims[place] # log);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1717658485, claims[place] # log);
        END IF;
    END LOOP;
END
$$;

-- As before (migration 3), and on a condition, see `factum_breach`. `tagged` are the numbers of the events that the tags
-- belong to.
CREATE FUNCTION factum_append(
    lock_ms integer, idle_ms integer, alone boolean, claims integer[], are_exclusive boolean[],
    of_category text, of_stream text, expected bigint, condition text,
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[],
    tagged integer[], tags text[]
) RETURNS TABLE (
    at_position bigint, at_time timestamptz, last_version bigint, closed_by text, is_known boolean,
    breach_position bigint, breach_name text
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    last_name text;
    head bigint;
    positions bigint[];
BEGIN
    PERFORM factum_begin_append(lock_ms, idle_ms, alone, claims, are_exclusive);
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
    IF condition IS NOT NULL THEN
        SELECT b.at_position, b.of_name INTO breach_position, breach_name FROM factum_breach(condition::jsonb) AS b;
    END IF;
    -- Where the version is the expected one, the ids are no repetition, and the constraint refuses those that are taken.
    IF expected < 0 OR expected <> last_version OR closed_by IS NOT NULL OR breach_position IS NOT NULL THEN
        is_known := EXISTS (
            SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_events AS e WHERE e.event_id = i.id)
        );
    END IF;
    is_known := is_known OR EXISTS (
        SELECT FROM unnest(ids) AS i (id) WHERE (SELECT true FROM factum_archive AS e WHERE e.event_id = i.id)
    );
    IF is_known
        OR closed_by IS NOT NULL
        OR breach_position IS NOT NULL
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
        positions := positions || at_position;
        RETURN NEXT;
    END LOOP;
    IF cardinality(tags) > 0 THEN
        INSERT INTO factum_tags (tag, name, position)
        SELECT t.tag, names[t.event], positions[t.event] FROM unnest(tagged, tags) AS t (event, tag);
    END IF;
END
$$;

-- As before (migration 3), and each on a condition of its own. No append of a group has an event that another one's condition
-- asks about: they are looked at as the log was before the group.
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

-- As before (migration 4). What a deleted event was about is forgotten with it.
CREATE OR REPLACE FUNCTION factum_close(
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

-- As before (migration 6), and with what the events were about.
CREATE OR REPLACE FUNCTION factum_truncate(lock_ms integer, of_category text, of_stream text, before bigint)
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
