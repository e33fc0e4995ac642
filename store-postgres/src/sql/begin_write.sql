-- The lock of appends, for a writer who has it to himself, and the end of the log as it is then.
SELECT factum_begin_import($1) AS "position!"
