"""The parts of the `llm_generated` source: prompts, answers, providers, journal, budget, what is new."""
