"""A lock that another process holds: who waits for it hears whom and where, and gets it when that process ends."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nlp_skills.errors import NotReady
from nlp_skills.locks import locked

HOLDER = """
import sys
from pathlib import Path
from nlp_skills.locks import locked
with locked(Path(sys.argv[1]), "merges v2 of news"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def ended(process: subprocess.Popen[str]) -> None:
    process.communicate()


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()


@pytest.mark.parametrize("end", [ended, killed])
def test_who_waits_hears_whom_and_where_and_goes_on_when_that_process_ends(
    holder: subprocess.Popen[str], tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    told = []

    def hear(message: str, _done: float, _total: float | None) -> None:
        told.append(message)
        end(holder)

    with locked(tmp_path / ".lock", "merges v2 of news", hear):
        assert told == [f"waiting for another process, which merges v2 of news ({tmp_path / '.lock'})"]


def test_a_lock_that_is_held_for_a_moment_only_is_not_waited_for_without_end(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    said = r"Another process merges v2 of news, and has not ended for \d+ seconds \(it holds .*\.lock\)"
    with pytest.raises(NotReady, match=said), locked(tmp_path / ".lock", "merges v2 of news", patience=0):
        pass
    assert holder.poll() is None
