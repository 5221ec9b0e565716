"""What tests share: where the real data sets lie, and a small real model."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nlp_skills.base_model import BaseModelFiles, resolve_base_model
from nlp_skills.errors import NlpSkillsError

# No test asserts a time: a busy machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# The tests start Ray before the library does: its workers use this environment, however pytest was started.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

# pytest has one process for each core: threads of torch's would only stand in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts pytest in the background lets it ignore Ctrl+C, and so would every process that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests come first, so that no process is left with one of them at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session", autouse=True)
def own_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of tests wait for each other only, not for what else this user trains on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLP_SKILLS_QUEUE", str(tmp_path_factory.mktemp("queue")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public data sets; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("NLP_SKILLS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the shared data sets are not at {folder}; set NLP_SKILLS_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> BaseModelFiles:
    """SmolLM2-135M-Instruct, converted once into the cache; tests that need it skip where it is not installed."""
    try:
        return resolve_base_model("smollm2-135m-instruct")
    except NlpSkillsError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI has to test with the real model: {error}")
        pytest.skip(str(error))
