"""What tests share: where the real data sets lie."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("NLP_SKILLS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the shared data sets are not at {folder}; set NLP_SKILLS_TEST_DATA to their folder")
    return folder
