# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills"]
# ///
"""Convert and split the rows in data/raw/ again: for a changed instruction, label list or split."""

import sys
from pathlib import Path

from nlp_skills.data.regenerate import convert_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        snapshot = convert_data(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(snapshot.to_bytes())
