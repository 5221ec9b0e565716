"""Right before a run: what would fail or waste it is found while it costs nothing, and smaller settings where memory ends."""
