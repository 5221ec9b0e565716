"""The end of a run's log, without secrets."""

from pathlib import Path

import pytest

from nlp_skills.training.train_log import last_lines, without_secrets


def test_last_lines_are_read_from_the_end_across_blocks(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("".join(f"line {n} {'x' * 500}\n" for n in range(1000)), encoding="utf-8")
    assert [line.split()[1] for line in last_lines(log, 300)] == [str(n) for n in range(700, 1000)]
    assert last_lines(log, 5000)[0].startswith("line 0 ")
    assert last_lines(log, 0) == []


def test_line_that_redraws_itself_is_shown_as_it_was_last(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"Loading:   0%\rLoading:  50%\rLoading: 100%\r\nstep \xe4\xbd\xa0\xe5\xa5\xbd")
    assert last_lines(log, 5) == ["Loading: 100%", "step 你好"]
    assert last_lines(tmp_path / "none.log", 5) == []


def test_secrets_of_the_environment_and_whatever_looks_like_a_key_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "correct-horse-battery")
    shown = without_secrets("login correct-horse-battery, token hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z")
    assert shown == "login ${WANDB_API_KEY}, token [Hugging Face token]"


def test_a_shell_s_folder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/home/ada/tickets")
    monkeypatch.setenv("OLDPWD", "/home/ada/tickets")
    assert without_secrets("read /home/ada/tickets/rows.jsonl") == "read /home/ada/tickets/rows.jsonl"
