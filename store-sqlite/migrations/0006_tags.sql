-- What events are about: one row for each tag of an event, archived or not. With the name and the position in the same key, what
-- has a tag, often under certain names, and came after a position, is one look at the tree, however many events have the tag.
CREATE TABLE factum_tags (
    tag      TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tag, name, position)
) STRICT, WITHOUT ROWID;
