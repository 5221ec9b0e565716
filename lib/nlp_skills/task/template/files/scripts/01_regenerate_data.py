# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills[data]"]
# ///
"""Read the sources of data_source.yaml again, convert them to chat examples and split them."""

import sys
from pathlib import Path

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        snapshot = regenerate_data(Path(__file__).resolve().parent.parent, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(snapshot.to_bytes())
