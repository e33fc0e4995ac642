-- Whoever decides under the lock of appends sees the log as it is when he has the lock.

-- What an import does first: it takes the lock of appends for itself, and answers the end of the log. In two steps, and so in
-- plpgsql: one statement would answer the end as it was before it waited for the lock.
CREATE FUNCTION factum_begin_import(lock_ms integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM factum_begin_retention(lock_ms);
    RETURN factum_head();
END
$$;
