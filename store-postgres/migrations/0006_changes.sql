-- How many times a stream was deleted, archived, restored or truncated.

-- One row. It grows in the transaction that does it, so whoever reads the log in several steps knows whether the steps are of
-- one log. Those who make it grow have the lock of appends to themselves, so nobody waits for the row.
CREATE TABLE factum_changes (
    only_row boolean NOT NULL DEFAULT true,
    count    bigint  NOT NULL,
    CONSTRAINT factum_changes_pkey PRIMARY KEY (only_row),
    CONSTRAINT factum_changes_only_row_check CHECK (only_row),
    CONSTRAINT factum_changes_count_check CHECK (count >= 0)
);

INSERT INTO factum_changes (count) VALUES (0);

CREATE FUNCTION factum_count_change() RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE factum_changes SET count = count + 1
$$;

-- Records an event of the framework's own, which says what was done to the stream.
CREATE OR REPLACE FUNCTION factum_mark(
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

-- As before. A truncation that is repeated changes nothing, and disturbs no export.
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
