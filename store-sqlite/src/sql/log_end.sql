-- The last position ever used.
SELECT max(
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'factum_events'), 0),
    coalesce((SELECT max(position) FROM factum_events), 0),
    coalesce((SELECT max(position) FROM factum_archive), 0)
);
