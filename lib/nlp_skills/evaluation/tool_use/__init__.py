"""Whether a model calls the right tools with the right arguments: BFCL, the user's own tools, and what tools cost."""
