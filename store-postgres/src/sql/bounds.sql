-- Where the log ends, and where it goes on after a position.
SELECT
    coalesce((SELECT max(position) FROM factum_events), 0) AS "head!",
    (SELECT min(position) FROM factum_events WHERE position > $1) AS next
