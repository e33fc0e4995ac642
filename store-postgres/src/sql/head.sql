SELECT max(position) FROM factum_events
