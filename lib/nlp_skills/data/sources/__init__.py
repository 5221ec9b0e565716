"""Where rows come from. One file a kind of source, one row in SOURCES."""
