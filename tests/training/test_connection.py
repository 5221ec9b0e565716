"""One machine over ssh: what is written goes through a pipe, and a command that hangs is left."""

import json
import os
import stat
from pathlib import Path
from typing import IO

import pytest

from nlp_skills.errors import RunFailed
from nlp_skills.training.targets.connection import Connection, Unreachable
from sshd import SSHMachine, ssh_machine

__all__ = ["ssh_machine"]


def test_words_reach_the_machine_as_they_are_whatever_a_shell_would_make_of_them(
    ssh_machine: SSHMachine,
) -> None:
    words = ["a b", "'", '"', "$HOME", "`id`", "*", ";", "你好", ""]
    program = "import sys, json; print(json.dumps(sys.argv[1:]))"
    connection = Connection(ssh_machine.target)
    python = ssh_machine.target.python or "python3"
    assert json.loads(connection.run(python, "-c", program, *words)) == words
    with pytest.raises(RunFailed, match=r"false failed there: exit status 1\. Look at .*ssh -p"):
        connection.run("false")


@pytest.mark.parametrize(
    "words", [("sleep", "30"), ("sh", "-c", "echo begun; exec sleep 30"), ("sh", "-c", "exec >&-; sleep 30")]
)
def test_command_that_hangs_there_is_left_when_its_time_is_over(
    ssh_machine: SSHMachine, words: tuple[str, ...]
) -> None:
    with pytest.raises(Unreachable, match=rf"did not answer to {words[0]} within 1 seconds.*ask again: ssh "):
        Connection(ssh_machine.target).run(*words, write=many, seconds=1)


def many(stream: IO[bytes]) -> None:
    """More than a pipe holds: nobody reads it there."""
    stream.write(bytes(1 << 22))


def test_what_is_written_comes_whole_and_touches_no_file_here(
    ssh_machine: SSHMachine,
) -> None:
    kinds: list[bool] = []

    def write(stream: IO[bytes]) -> None:
        stream.write(b"correct-horse-battery-staple-80" * 50_000)
        kinds.append(stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode))

    assert Connection(ssh_machine.target).run("wc", "-c", write=write).split() == [b"1550000"]
    assert kinds == [True]


def test_input_that_cannot_be_made_is_told_as_it_is(ssh_machine: SSHMachine, tmp_path: Path) -> None:
    def write(stream: IO[bytes]) -> None:
        stream.write((tmp_path / "gone").read_bytes())

    with pytest.raises(FileNotFoundError, match="gone"):
        Connection(ssh_machine.target).run("cat", write=write)


def test_library_that_gives_no_answer_is_told_with_the_cure(ssh_machine: SSHMachine) -> None:
    with pytest.raises(RunFailed, match=r"gave no answer to state\..*import nlp_skills.*environments there"):
        Connection(ssh_machine.target).ask("true", "state", "x")
