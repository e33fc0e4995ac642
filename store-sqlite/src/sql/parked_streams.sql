-- ?1: subscription. How many dead letters there are, and then the streams whose events wait.
SELECT count(*), NULL FROM factum_dead_letters WHERE subscription = ?1
UNION ALL
SELECT DISTINCT category, stream FROM factum_dead_letters WHERE subscription = ?1 AND holds_stream = 1;
