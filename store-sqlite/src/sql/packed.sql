-- How a page ends whose events are packed: all in one value, and how many they are; and then what it says of the log.
-- SQLite copies each value of each row for sqlx, and takes as long for 16 bytes as for a megabyte.
SELECT
    CAST(
        group_concat(
            concat_ws(
                x'0a',
                position, version, schema_version, recorded_at, name, codec, category, stream, metadata,
                octet_length(payload), event_id, payload, ''
            ),
            ''
        ) AS BLOB
    ),
    count(*),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM page
UNION ALL
SELECT * FROM facts;
