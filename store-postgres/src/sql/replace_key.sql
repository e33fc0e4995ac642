UPDATE factum_keys
SET generation = $5, master = $6, wrapped = $7
WHERE subject = $1 AND generation = $2 AND master IS NOT DISTINCT FROM $3 AND wrapped IS NOT DISTINCT FROM $4
