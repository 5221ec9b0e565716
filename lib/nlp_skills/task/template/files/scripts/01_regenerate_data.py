# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills[data,sources,llm,hub]"]
# ///
"""Read the sources of data_source.yaml again, convert them to chat examples and split them.

A source that costs money is read only with --confirm.
"""

import sys
from pathlib import Path

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

if __name__ == "__main__":
    try:
        task = Path(__file__).resolve().parent.parent
        snapshot = regenerate_data(task, confirm="--confirm" in sys.argv, progress=log_progress)
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(snapshot.to_bytes())
