# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills"]
# ///
"""Check the data: data/validation.json says what was found. Ends with status 1 when there is an error."""

import sys
from pathlib import Path

from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        report = validate_data(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(report.to_bytes())
    sys.exit(not report.passed)
