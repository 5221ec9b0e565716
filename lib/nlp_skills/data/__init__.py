"""Sources → raw rows → examples → checks → splits, each step kept as a file."""
