SELECT max(version) FROM _factum_migrations WHERE success
