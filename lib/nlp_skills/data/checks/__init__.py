"""What can be wrong with rows. One file a family of checks, one row a check in CHECKS."""
