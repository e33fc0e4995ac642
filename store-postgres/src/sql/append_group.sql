SELECT at_positions, at_time, last_version, closed_by, is_known, breach_position, breach_name
FROM factum_append_group(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21
)
