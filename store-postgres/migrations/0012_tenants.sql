-- What tenants have: the category of their streams begins with their name and a tilde; where a tenant has tenants, that of the
-- outermost comes first. Whoever has no tenants has empty indexes, and pays nothing for them.
CREATE INDEX factum_events_tenant ON factum_events (split_part(category, '~', 1), position)
WHERE strpos(category, '~') > 0;

CREATE INDEX factum_archive_tenant ON factum_archive (split_part(category, '~', 1), position)
WHERE strpos(category, '~') > 0;

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

-- An item without tags may be about what one tenant has.
CREATE OR REPLACE FUNCTION factum_matching(query jsonb, after bigint, most integer) RETURNS SETOF bigint
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
