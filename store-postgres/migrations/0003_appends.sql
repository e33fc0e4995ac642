-- Appends in one round trip; a place for what is set apart from the log; checkpoints that know their log again.

-- Events of archived streams, and what is left of erased ones: their numbers and ids, without content.
--
-- A table of its own and not a partition of the log, whose unique constraints would then need the partition's key, and
-- would no longer say that a stream has each version once.
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

-- The last event of the log at or below the position. NULL for checkpoints that were made before this migration.
ALTER TABLE factum_checkpoints ADD COLUMN event_id uuid;

-- What every append does before it looks at anything. See `src/feed.rs` for why the lock comes first.
--
-- A crash of the server forgets commits that did not wait for the disk, and draws their positions again: so an append
-- waits, whatever the session's setting is. `idle_ms` is set where the transaction goes on after the append: it bounds how
-- long a client that has fallen silent holds up the feed.
CREATE FUNCTION factum_begin_append(lock_ms integer, idle_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
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

-- The greatest position there is. Whatever is drawn after this was asked is greater; otherwise the sequence was set back,
-- and readers may have passed the position.
CREATE FUNCTION factum_head() RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT greatest(
        (SELECT max(position) FROM factum_events), (SELECT max(position) FROM factum_archive), 0
    )
$$;

CREATE FUNCTION factum_refuse_position(drawn bigint, head bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'position % was drawn after position % was used', drawn, head
    USING ERRCODE = 'FA001',
        HINT = 'The sequence factum_position was set back, or the table was restored without it.';
END
$$;

-- Appends to one stream. Answers a row for each event, or, if nothing was written, one row without a position, which says
-- why: the last version and what closed the stream, or that one of the ids is recorded already.
--
-- `expected` is a version, 0 for "no stream", -1 for "an existing stream", -2 for "any".
--
-- In plpgsql and not in one statement: a statement sees the log as it was before the statement waited for the lock.
CREATE FUNCTION factum_append(
    lock_ms integer, idle_ms integer, of_category text, of_stream text, expected bigint,
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[]
) RETURNS TABLE (at_position bigint, at_time timestamptz, last_version bigint, closed_by text, is_known boolean)
LANGUAGE plpgsql VOLATILE AS $$
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

-- Appends of several appends, each to one or more streams, and each written or refused on its own. Answers a row for each
-- stream of each append, as `factum_append` does, with the positions of its events, or NULL for those of a refused append.
--
-- No stream may be in it twice. `parts` and `numbers` say for each event to which stream it goes (counted from 1 over all
-- appends) and the how manieth of its stream it is.
--
-- The settings: every look-up is of an index, the arrays may be long although the planner takes them for short, and JIT
-- compilation would be tried because of the costs that these settings pretend.
CREATE FUNCTION factum_append_group(
    lock_ms integer, idle_ms integer,
    appends integer[], categories text[], streams text[], expectations bigint[], counts integer[],
    parts integer[], numbers integer[],
    ids uuid[], names text[], schema_versions integer[], codecs text[], payloads bytea[], metadatas text[]
) RETURNS TABLE (at_positions bigint[], at_time timestamptz, last_version bigint, closed_by text, is_known boolean)
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
