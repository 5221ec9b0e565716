"""A configuration becomes a run in a process of its own, and the run becomes a model."""
