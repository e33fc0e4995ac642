-- Appends that take less of the server's time. What they do is what they did.
--
-- Most of the price of a statement in a function is that it is begun and ended, whatever it does. So a function is called by an
-- assignment, which is no statement; what is to be known is looked up by one statement; and a group of which nothing can be
-- refused is written by another one, while the one that can refuse (migration 9) is kept for the others.

-- As before (migration 9).
CREATE OR REPLACE FUNCTION factum_begin_append(
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
    ELSE
        done := pg_advisory_xact_lock_shared(1717658484, log);
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

-- As before (migration 9). A plan that was made when the table had three pages reads all of it, and is kept until the table is
-- analyzed: an append took 40 ms once there were 200,000 events. So the plans of both functions may not do that.
CREATE OR REPLACE FUNCTION factum_append(
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

-- What was `factum_append_group` (migration 9), for groups of which something may be refused.
ALTER FUNCTION factum_append_group(
    integer, integer, boolean, integer[], boolean[], integer[], text[], text[], bigint[], integer[], text[], integer[],
    integer[], uuid[], text[], integer[], text[], bytea[], text[], integer[], text[]
) RENAME TO factum_judge_group;

-- As before (migration 9).
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
