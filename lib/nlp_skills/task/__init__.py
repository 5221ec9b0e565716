"""What we want, and every attempt at it: the task, its versions, their lineage and comparison."""
