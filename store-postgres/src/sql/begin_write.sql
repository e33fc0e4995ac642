-- The lock of appends, for a writer who has it to himself, and the end of the log.
SELECT factum_head() AS "position!" FROM (SELECT factum_begin_retention($1)) AS begun
