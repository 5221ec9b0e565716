# /// script
# requires-python = ">=3.11"
# dependencies = ["nlp-skills", "huggingface_hub>=1"]
# ///
"""Upload the newest trained version to the Hugging Face Hub, privately; nothing happens without --confirm."""

import argparse
import sys
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HFValidationError

from nlp_skills.errors import NlpSkillsError, NotReady, NotValid
from nlp_skills.records import sha256_tree
from nlp_skills.training.model_info import ModelInfo

RECORDS = ("config.yaml", "lineage.yaml", "results.json")


def newest_version(task: Path) -> Path:
    """The version folder with the highest number that has a model."""
    trained = [p.parent for p in task.glob("versions/v*/model_info.json") if p.parent.name[1:].isdecimal()]
    if not trained:
        raise NotReady(f"{task} has no trained version yet. Train one with: uv run scripts/04_train.py")
    return max(trained, key=lambda folder: int(folder.name[1:]))


def files_to_upload(task: Path, version: Path) -> dict[str, Path]:
    """Name in the repository → file: the model at the top, what explains it below versions/."""
    info = ModelInfo.load(version / "model_info.json")
    model = (task / info.path).resolve()
    if task not in model.parents:
        raise NotValid(f"{version / 'model_info.json'}: path: {info.path} is not inside the task folder.")
    if not model.is_dir() or sha256_tree(model) != info.sha256:
        raise NotReady(f"{model} is not what {version.name} trained: files are missing or were changed.")
    weights = {p.relative_to(model).as_posix(): p for p in sorted(model.rglob("*")) if p.is_file()}
    records = [version / name for name in RECORDS if (version / name).is_file()]
    return weights | {p.relative_to(task).as_posix(): p for p in records}


def upload(repo_id: str, files: dict[str, Path], version: str, *, public: bool) -> str:
    """Make the repository if it is missing, and add everything in one commit; returns its address."""
    api = HfApi()
    api.create_repo(repo_id, private=not public, exist_ok=True)
    if not public and not api.model_info(repo_id).private:
        raise NotValid(
            f"{repo_id} is there already and is public. Add --public if everyone may see the model."
        )
    additions = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
    return api.create_commit(repo_id, additions, commit_message=f"Upload {version}").commit_url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repo_id", help="OWNER/NAME on the Hub")
    parser.add_argument("--confirm", action="store_true", help="really upload")
    parser.add_argument("--public", action="store_true", help="let everyone see it")
    choice = parser.parse_args()
    task = Path(__file__).resolve().parent.parent
    version = newest_version(task)
    files = files_to_upload(task, version)
    visibility = "public" if choice.public else "private"
    lines = [f"{task.name} {version.name} -> {choice.repo_id} ({visibility})"]
    lines += [f"{path.stat().st_size:>14,} bytes  {name}" for name, path in files.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    if not choice.confirm:
        sys.stdout.write("Nothing was uploaded. Add --confirm to upload these files.\n")
        return
    sys.stdout.write(f"Uploaded: {upload(choice.repo_id, files, version.name, public=choice.public)}\n")


if __name__ == "__main__":
    try:
        main()
    except (NlpSkillsError, HTTPError, HFValidationError, OSError) as error:
        sys.exit(str(error))
