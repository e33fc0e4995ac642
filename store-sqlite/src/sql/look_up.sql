-- Opens the transaction of a group of appends and looks up what its verdicts depend on.
-- ?1: the group's streams, a JSON array of "category/id"; the first slash ends the category.
-- ?2: its event ids, a JSON array of 32 hexadecimal digits each.
BEGIN IMMEDIATE;
