"""Answers are kept as they come: what a kill leaves is taken up, and nothing is asked twice."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_servers import Call, ModelServer, Reply, serving
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.predictors import Decoding, predict
from nlp_skills.evaluation.predictors.openai_url import UrlPredictor

pytest.importorskip("openai", reason="the llm extra is not installed")

HOW = Decoding(max_new_tokens=16, batch_size=1)
ROWS = [
    Example(meta=Meta(id=f"r-{n}", source="r"), messages=[Message("user", text), Message("assistant", "")])
    for n, text in enumerate(["one", "two", "one", "three", "four", "one", "five", "six"])
]

ASK = """
import sys
from pathlib import Path
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.evaluation.predictors import Decoding, predict
from nlp_skills.evaluation.predictors.openai_url import UrlPredictor

url, keep, *texts = sys.argv[1:]
rows = [Example(meta=Meta(id=str(n), source="r"), messages=[Message("user", t), Message("assistant", "")]) for n, t in enumerate(texts)]
predict(UrlPredictor(url, "tiny"), rows, Decoding(max_new_tokens=16, batch_size=1), keep=Path(keep))
"""


def asked(server: ModelServer) -> list[str]:
    return [call.prompt for call in server.calls]


def ask(
    server: ModelServer, keep: Path, how: Decoding = HOW, rows: list[Example] = ROWS, model: str = "tiny"
) -> list[str]:
    predictor = UrlPredictor(f"{server.url}/v1", model)
    try:
        return [a.text for a in predict(predictor, rows, how, keep=keep)]
    finally:
        predictor.close()


def test_a_prediction_that_is_killed_goes_on_and_asks_only_what_it_had_no_answer_to(tmp_path: Path) -> None:
    running: list[subprocess.Popen[bytes]] = []

    def answer(call: Call) -> Reply:
        if call.prompt == "four" and running:
            running.pop().send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        return Reply(f"to {call.prompt}")

    keep = tmp_path / "keep.jsonl"
    texts = [example.input_text for example in ROWS]
    with serving(ModelServer(answer)) as server:
        command = [sys.executable, "-c", ASK, f"{server.url}/v1", str(keep), *texts]
        process = subprocess.Popen(command)
        running.append(process)
        assert process.wait(60) != 0
        before = asked(server)
        assert before == texts[:5]
        assert ask(server, keep) == [f"to {text}" for text in texts]
        assert asked(server)[len(before) :] == ["four", "one", "five", "six"]


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_line_that_was_cut_is_asked_again_and_the_others_are_not(tmp_path: Path, lost: int) -> None:
    keep = tmp_path / "keep.jsonl"
    with serving(ModelServer(lambda call: Reply(f"to {call.prompt}"))) as server:
        whole = ask(server, keep)
        kept = keep.read_bytes()
        keep.write_bytes(b'{"of another": "kind"}\n' + kept[:-lost])
        assert ask(server, keep) == whole
        assert asked(server)[len(ROWS) :] == ["six"]
    lines = [json.loads(line) for line in keep.read_bytes().splitlines()]
    assert [line["answered"]["text"] for line in lines[1:]] == whole


def test_answers_of_another_model_or_another_decoding_are_not_taken(tmp_path: Path) -> None:
    keep = tmp_path / "keep.jsonl"
    with serving(ModelServer(lambda call: Reply(call.body["model"]))) as server:
        ask(server, keep)
        assert ask(server, keep, HOW.with_changes(batch_size=3)) == ["tiny"] * 8
        assert len(server.bodies) == 8
        assert ask(server, keep, HOW.with_changes(max_new_tokens=17)) == ["tiny"] * 8
        assert len(server.bodies) == 16
        assert ask(server, keep, HOW.with_changes(max_new_tokens=17), model="other") == ["other"] * 8
        assert len(server.bodies) == 24
        assert ask(server, keep) == ["tiny"] * 8
        assert len(server.bodies) == 24


def test_two_that_write_into_one_file_do_not_take_each_others_answers(tmp_path: Path) -> None:
    """Another decoding begins while this one is under way, and both go on."""
    keep, other = tmp_path / "keep.jsonl", HOW.with_changes(max_new_tokens=17)

    def answer(call: Call) -> Reply:
        if call.prompt == "two" and call.body["max_tokens"] == 16:
            assert ask(server, keep, other) == ["17 tokens"] * 8
        return Reply(f"{call.body['max_tokens']} tokens")

    with serving(ModelServer(answer)) as server:
        assert ask(server, keep) == ["16 tokens"] * 8
        assert ask(server, keep, other) == ["17 tokens"] * 8
        assert ask(server, keep) == ["16 tokens"] * 8
        assert len(server.bodies) == 16


def test_only_rows_that_are_new_are_asked(tmp_path: Path) -> None:
    keep = tmp_path / "keep.jsonl"
    with serving(ModelServer(lambda call: Reply(f"to {call.prompt}"))) as server:
        ask(server, keep, rows=ROWS[:4])
        assert ask(server, keep, rows=ROWS[::-1]) == [f"to {e.input_text}" for e in ROWS[::-1]]
        assert asked(server)[4:] == ["six", "five", "four", "one"]


def test_answers_that_are_under_way_when_another_fails_are_kept_too(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=30)
    refused = threading.Event()

    def answer(call: Call) -> Reply:
        together.wait()
        if call.prompt == "two":
            return Reply(status=400, message="too long")
        refused.wait(30)
        return Reply(f"to {call.prompt}")

    keep = tmp_path / "keep.jsonl"
    rows = [ROWS[0], ROWS[1], ROWS[3]]
    with serving(ModelServer(answer)) as server:
        server.when_answered = lambda call: refused.set() if call.prompt == "two" else None
        with pytest.raises(RunFailed, match="too long"):
            ask(server, keep, HOW.with_changes(batch_size=3), rows)
    kept = [json.loads(line)["answered"]["text"] for line in keep.read_bytes().splitlines()]
    assert sorted(kept) == ["to one", "to three"]
