-- The streams whose events wait, and how many dead letters there are in all.
SELECT
    (SELECT count(*) FROM factum_dead_letters WHERE subscription = $1) AS "count!",
    s.category AS "category?",
    s.stream AS "stream?"
FROM (SELECT) AS one
LEFT JOIN (
    SELECT DISTINCT category, stream FROM factum_dead_letters WHERE subscription = $1 AND holds_stream
) AS s ON true
