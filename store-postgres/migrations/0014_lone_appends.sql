-- A lone event is appended by a plain statement, which sees the log as it was before it had the lock: so it has to know whether
-- anybody has had the log to himself meanwhile.

-- Not counted but set: the id of the transaction that had the log to itself last. What a sequence says is that of now, and not that
-- of a snapshot. The least value is that of no transaction.
CREATE SEQUENCE factum_alone AS bigint MINVALUE 1 CACHE 1;

CREATE FUNCTION factum_note_alone() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM setval('factum_alone', pg_current_xact_id()::text::bigint);
END
$$;

-- As before (migration 13), and whoever has the log to himself says so. Whoever shares the lock knows that none of these is under way:
-- if one seems to be, its id is that of another server, from which the tables were restored, and could be in the way for ever. An id
-- of one's own is as good: it is under way for all who look at what is older.
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

-- As before (migration 5), and says so.
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
    PERFORM factum_note_alone();
END
$$;
