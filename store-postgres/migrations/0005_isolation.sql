-- Whoever decides under the lock of appends sees the log as it is when he has the lock.

-- As before (migration 3), and at no isolation but READ COMMITTED, whether the transaction goes on or is this one statement:
-- the others look at the log as it was before the statement waited for the lock.
CREATE OR REPLACE FUNCTION factum_begin_append(lock_ms integer, idle_ms integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
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
    PERFORM pg_advisory_xact_lock_shared(1717658484, 'factum_events'::regclass::oid::integer);
END
$$;

-- As before (migration 4), and with the same condition.
CREATE OR REPLACE FUNCTION factum_begin_retention(lock_ms integer) RETURNS void
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
