"""Should this task be fine-tuned at all? Facts from files, rules from rules.yaml, a verdict with evidence."""
