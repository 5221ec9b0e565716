"""nlp-skills."""
