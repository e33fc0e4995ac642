-- The lock of appends, for a writer who has it to himself. Everybody waits for him: so the server ends his session if he falls
-- silent for $2 milliseconds; and, if it is in the middle of a COPY, once the network says nothing of him for a minute and a
-- half. What was committed before is for the next statement to see: this one is older than the lock it waits for.
SELECT
    set_config('idle_in_transaction_session_timeout', $2::integer::text, true) AS "set!",
    set_config('tcp_keepalives_idle', '30', true) AS "idle!",
    set_config('tcp_keepalives_interval', '10', true) AS "interval!",
    set_config('tcp_keepalives_count', '6', true) AS "count!"
FROM (SELECT factum_begin_retention($1)) AS begun
