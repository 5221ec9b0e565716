# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills"]
# ///
"""Turn data/raw/ into chat examples and divide them into train, valid and test."""

import sys
from pathlib import Path

from nlp_skills.data.regenerate import convert_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        convert_data(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
