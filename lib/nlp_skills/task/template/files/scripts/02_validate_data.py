# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills"]
# ///
"""Check the data and write what was found to data/validation.json."""

import sys
from pathlib import Path

from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        validate_data(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
