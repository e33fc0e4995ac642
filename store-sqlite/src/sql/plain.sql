-- How a page ends: its events, a row each, and what it says of the log in rows without a name.
SELECT * FROM page
UNION ALL
SELECT * FROM facts;
