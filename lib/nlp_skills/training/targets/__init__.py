"""Where a run takes place: one file for each kind of place."""
