# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills[hub]"]
# ///
"""Show what a version would be on the Hugging Face Hub; --confirm uploads it, privately unless --public is given."""

import argparse
import sys
from pathlib import Path

from nlp_skills.deployment.hub import upload_model
from nlp_skills.errors import NlpSkillsError
from nlp_skills.operations import log_progress

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("repo_id", help="OWNER/NAME on the Hub")
parser.add_argument("--version", help="v1, v2 …; the newest when left out")
parser.add_argument("--what", default="trained", help="trained, merged, or a quantization such as q8_0")
parser.add_argument("--public", action="store_true", help="let everyone see it")
parser.add_argument("--confirm", action="store_true", help="really upload it")

if __name__ == "__main__":
    try:
        task = Path(__file__).resolve().parent.parent
        upload = upload_model(task, progress=log_progress, **vars(parser.parse_args()))
    except NlpSkillsError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(upload.to_bytes())
    sys.exit(not upload.passed)
