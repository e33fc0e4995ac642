-- What tenants have: the category of their streams begins with their name and a tilde; where a tenant has tenants, that of the
-- outermost comes first. Whoever has no tenants has empty indexes, and pays nothing for them.
ALTER TABLE factum_events
ADD COLUMN tenant TEXT GENERATED ALWAYS AS (nullif(substr(category, 1, instr(category, '~') - 1), '')) VIRTUAL;

ALTER TABLE factum_archive
ADD COLUMN tenant TEXT GENERATED ALWAYS AS (nullif(substr(category, 1, instr(category, '~') - 1), '')) VIRTUAL;

CREATE INDEX factum_events_tenant ON factum_events (tenant, position) WHERE tenant IS NOT NULL;

CREATE INDEX factum_archive_tenant ON factum_archive (tenant, position) WHERE tenant IS NOT NULL;
