"""Searching for better settings: each trial is a version, Optuna chooses the next."""
