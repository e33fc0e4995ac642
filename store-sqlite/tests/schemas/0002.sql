-- A database as version 0.1 of the program left it, at migration 2. Never changed: migrations are tested on it.
BEGIN TRANSACTION;
CREATE TABLE _factum_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_factum_migrations" VALUES(1,'events','2026-11-22 12:59:41',1,X'2EAE009676696A975D548B592A6817E65819E50F5587A83135FD97FFD5802E2EA0DD275936A60511AB5052AC42CC3A31',1539003);
INSERT INTO "_factum_migrations" VALUES(2,'checkpoints','2026-11-22 12:59:41',1,X'A5409927036EA7AFE1028E0AD042E1BC990FC7EF1984120C63E0992F116B4058AA583D6BA482416200488A7F334A5493',1057658);
CREATE TABLE factum_checkpoints (
    subscription TEXT    NOT NULL PRIMARY KEY,
    position     INTEGER NOT NULL CHECK (position >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO "factum_checkpoints" VALUES('mails',6);
INSERT INTO "factum_checkpoints" VALUES('spend',8);
CREATE TABLE factum_events (
    -- AUTOINCREMENT: a position is never used twice, not even after the last event was deleted.
    position       INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id       BLOB    NOT NULL, -- A UUID: 16 bytes.
    category       TEXT    NOT NULL,
    -- The id of the stream, without its category.
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL CHECK (version >= 1),
    name           TEXT    NOT NULL,
    schema_version INTEGER NOT NULL CHECK (schema_version >= 1),
    codec          TEXT    NOT NULL,
    -- Microseconds since 1970, UTC.
    recorded_at    INTEGER NOT NULL,
    -- JSON, '{}' where nothing is known.
    metadata       TEXT    NOT NULL,
    -- Last, so that whoever looks at the other columns need not read past it.
    payload        BLOB    NOT NULL,
    UNIQUE (category, stream, version),
    UNIQUE (event_id)
) STRICT;
INSERT INTO "factum_events" VALUES(1,X'00190000000007000800000000000001','order','1',1,'order.placed',1,'json',1760000000000001,'{}',X'7B22637573746F6D6572223A22416461222C226C696E6573223A5B224B696E64206F6620426C7565225D7D');
INSERT INTO "factum_events" VALUES(2,X'00190000000007000800000000000002','order','2',1,'order.placed',1,'json',1760000000000002,'{"actor":"import","fields":{"source":"ü"}}',X'7B22637573746F6D6572223A22426F222C226C696E6573223A5B5D7D');
INSERT INTO "factum_events" VALUES(6,X'00190000000007000800000000000006','order','1',2,'order.shipped',2,'json',1760000000000006,'{}',X'7B2270617263656C223A225031227D');
INSERT INTO "factum_events" VALUES(7,X'00190000000007000800000000000007','cart','a/b',1,'cart.filled',1,'bytes',1760000000000007,'{}',X'FF00FE');
INSERT INTO "factum_events" VALUES(8,X'00190000000007000800000000000008','order','1',3,'order.cancelled',1,'json',1760000000000008,'{"correlation_id":"01900000-0000-7000-8000-000000000001","causation_id":"01900000-0000-7000-8000-000000000006","occurred_at":"2025-10-09T00:00:00Z"}',X'6E756C6C');
CREATE INDEX factum_events_feed ON factum_events (position, category, name, stream);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('factum_events',8);
COMMIT;
