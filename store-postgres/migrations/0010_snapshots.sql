-- States of aggregates, so that loading need not begin with the first event: a cache, all of which may be deleted at any time.
CREATE TABLE factum_snapshots (
    category text    NOT NULL COLLATE "C",
    stream   text    NOT NULL COLLATE "C",
    -- The version of the shape of the state: two versions of a program that work beside each other have a row each.
    shape    integer NOT NULL,
    -- What the state stands on: its last event, and the version of the event that says that the stream was truncated, if it
    -- began with one. A row of which the log does not have both is passed over.
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

-- Whether the log has what a state stands on.
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

-- Keeps a snapshot, if the log has what it stands on, and says whether it did. It takes the lock of appends, so that no stream
-- is set apart between the look and the commit, after which its snapshot would be there again.
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

-- Whoever sets a stream apart forgets its snapshots, in statements of their own that see what was kept while they waited.
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
