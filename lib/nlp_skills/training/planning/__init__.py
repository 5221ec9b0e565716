"""Before a run: every setting with its reason, and what it will take in memory, time and money."""
