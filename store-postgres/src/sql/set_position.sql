-- Never back: what was drawn is not drawn again, whether it was used or not.
SELECT setval('factum_position', greatest($1, last_value)) AS "position!" FROM factum_position
