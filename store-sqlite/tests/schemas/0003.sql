-- A database as the program left it at migration 3. Never changed: migrations are tested on it.
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
INSERT INTO "_factum_migrations" VALUES(3,'archive','2026-11-22 12:59:42',1,X'87B8E7C108DD1B71A1F1D79ADB5A063F985F16F0A3C06790820586EA31E0109645E33A0BECFFB386B1E620877C04E6C5',1401112);
CREATE TABLE factum_archive (
    position       INTEGER PRIMARY KEY,
    event_id       BLOB    NOT NULL,
    category       TEXT    NOT NULL,
    stream         TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    name           TEXT,
    schema_version INTEGER,
    codec          TEXT,
    recorded_at    INTEGER NOT NULL,
    metadata       TEXT,
    payload        BLOB,
    UNIQUE (category, stream, version),
    UNIQUE (event_id),
    -- All of the content, or none of it.
    CHECK (
        (name IS NULL) + (schema_version IS NULL) + (codec IS NULL) + (metadata IS NULL) + (payload IS NULL) IN (0, 5)
    )
) STRICT;
INSERT INTO "factum_archive" VALUES(9,X'00190000000007000800000000000009','order','3',1,NULL,NULL,NULL,1760000000000009,NULL,NULL);
INSERT INTO "factum_archive" VALUES(12,X'0019000000000700080000000000000C','order','4',1,'order.placed',1,'json',1760000000000012,'{}',X'7B226E223A317D');
INSERT INTO "factum_archive" VALUES(13,X'0019000000000700080000000000000D','order','4',2,'order.shipped',1,'json',1760000000000013,'{}',X'7B226E223A327D');
INSERT INTO "factum_archive" VALUES(14,X'0019000000000700080000000000000E','order','5',1,NULL,NULL,NULL,1760000000000014,NULL,NULL);
INSERT INTO "factum_archive" VALUES(15,X'0019000000000700080000000000000F','order','5',2,NULL,NULL,NULL,1760000000000015,NULL,NULL);
CREATE TABLE factum_checkpoints (
    subscription TEXT    NOT NULL PRIMARY KEY,
    position     INTEGER NOT NULL CHECK (position >= 0)
, event_id BLOB) STRICT, WITHOUT ROWID;
INSERT INTO "factum_checkpoints" VALUES('mails',6,NULL);
INSERT INTO "factum_checkpoints" VALUES('spend',17,X'00190000000007000800000000000011');
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
INSERT INTO "factum_events" VALUES(10,X'0019000000000700080000000000000A','order','3',2,'factum.truncated',1,'json',1760000000000010,'{}',X'7B7D');
INSERT INTO "factum_events" VALUES(11,X'0019000000000700080000000000000B','order','3',3,'order.shipped',1,'json',1760000000000011,'{}',X'7B226E223A337D');
INSERT INTO "factum_events" VALUES(16,X'00190000000007000800000000000010','order','6',1,'order.placed',1,'json',1760000000000016,'{}',X'7B226E223A317D');
INSERT INTO "factum_events" VALUES(17,X'00190000000007000800000000000011','order','6',2,'order.shipped',1,'json',1760000000000017,'{}',X'7B226E223A327D');
INSERT INTO "factum_events" VALUES(18,X'00190000000007000800000000000012','order','4',3,'factum.archived',1,'json',1760000000000018,'{}',X'7B7D');
INSERT INTO "factum_events" VALUES(19,X'00190000000007000800000000000013','order','5',3,'factum.deleted',1,'json',1760000000000019,'{}',X'7B7D');
INSERT INTO "factum_events" VALUES(20,X'00190000000007000800000000000014','order','6',3,'factum.archived',1,'json',1760000000000020,'{}',X'7B7D');
INSERT INTO "factum_events" VALUES(21,X'00190000000007000800000000000015','order','6',4,'factum.restored',1,'json',1760000000000021,'{}',X'7B7D');
CREATE INDEX factum_events_feed ON factum_events (position, category, name, stream);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('factum_events',21);
COMMIT;
