"""Public benchmarks: lm-evaluation-harness in an environment of its own asks the same predictors as everything else."""
