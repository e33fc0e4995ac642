SELECT setval('factum_position', $1) AS "position!"
