"""From a trained version to what is served: merged, exported, proven equal, published, and pointed at by an alias."""
