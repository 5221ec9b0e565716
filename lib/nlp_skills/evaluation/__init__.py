"""Predictions, metrics with their uncertainty, baselines, verdicts and the report."""
