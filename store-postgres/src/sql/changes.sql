-- How many times a stream was deleted, archived, restored or truncated.
SELECT count FROM factum_changes
