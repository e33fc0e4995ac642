-- Streams as a whole: deleted, archived, restored and truncated.

-- What each of these does first: it takes the lock of appends exclusively, so that none is under way whose look at the log
-- is older, and none begins.
CREATE FUNCTION factum_begin_retention(lock_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM set_config('lock_timeout', lock_ms::text, true);
    PERFORM pg_advisory_xact_lock(1717658484, 'factum_events'::regclass::oid::integer);
END
$$;

-- Records an event of the framework's own.
CREATE FUNCTION factum_mark(
    of_category text, of_stream text, new_version bigint, new_id uuid, new_name text,
    OUT at_position bigint, OUT at_time timestamptz, OUT last_version bigint
)
LANGUAGE plpgsql VOLATILE AS $$
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

-- Closes a stream: `closing` is 'factum.archived', or 'factum.deleted', which forgets its content. One that is closed so
-- already answers as it did then. Without a position nothing was done: the last version (NULL if there is no stream) and
-- what has closed the stream say why.
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

-- Brings an archived stream back. Answers as `factum_close` does; one that is not closed answers with its last event.
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

-- Forgets the content of a stream's events before a version; in the place of the last of them stands 'factum.truncated'.
-- Answers the last version (NULL if there is no stream) and what has closed the stream: with either, nothing was done if the
-- version is not greater than the last one.
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
