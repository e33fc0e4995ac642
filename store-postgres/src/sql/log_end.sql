SELECT factum_head() AS "position!"
