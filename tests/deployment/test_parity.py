"""The parity gate: planted faults are refused with their cause, and what was trained passes."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import small_gguf
from small_gguf import PAD, TEMPLATE, TURNS, write_gguf

from nlp_skills.deployment.deploy import deploy_version
from nlp_skills.deployment.parity.answers import judge_answers
from nlp_skills.deployment.parity.causes import Prompt, difference
from nlp_skills.deployment.parity.check import check_parity
from nlp_skills.deployment.parity.conversations import Trainer, conversations
from nlp_skills.deployment.parity.report import AnswersCompared, ParityReport
from nlp_skills.errors import AlreadyExists, NotFound, NotReady
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import unfinished, write_atomic
from nlp_skills.task.registry import read_registry
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_gguf.make_task(tmp_path_factory.mktemp("small"))


@pytest.fixture
def task(small: Path, tmp_path: Path) -> Path:
    """A copy, to plant a fault in."""
    return shutil.copytree(small, tmp_path / "tasks" / "small")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "double BOS": (
        {"template": "{{ bos_token }}" + TEMPLATE},
        r"token 1: trained '<\|turn\|>user\\n', served '<\|begin\|><\|turn\|>user'",
    ),
    "other BOS": ({"template": TEMPLATE.replace("{{ bos_token }}", ""), "add_bos": False}, r"token 0"),
    "dropped tool block": (
        {"template": "{{ bos_token }}" + TURNS},
        r"in the conversation 'tools' at token 2: trained 'tools\\n",
    ),
    "wrong template": (
        {"template": TEMPLATE.replace("<|turn|>{{", "<|turn|> {{")},
        r"in the conversation 'plain' at token 2: trained 'user\\nWh?', served ' user",
    ),
    "missing stop token": ({"eos": PAD}, r"ends with <\|close\|>, and what is served does not stop there"),
    "4-bit merge": ({"bits": 4}, r"They are those of a merge into a base model that was loaded in 4 bits"),
    "other weights": ({"shift": 0.2}, r"These are not the weights that were trained"),
    "other quantisation": ({"name": "f16"}, r"The file says that it is all F32, and it was to be f16"),
}
"""Cause → how it is planted, and what is said of it."""


@pytest.mark.parametrize("cause", FAULTS)
def test_a_planted_fault_is_refused_with_its_cause_and_nothing_is_deployed(task: Path, cause: str) -> None:
    planted, said = FAULTS[cause]
    made = write_gguf(task, **planted)
    with pytest.raises(NotReady, match=said) as refused:
        deploy_version(task, version="v1", to="gguf", quantization=str(made.quantization), confirm=True)
    assert f"is not served as it was trained: {cause}" in str(refused.value)
    report = ParityReport.load(task / "models" / "v1" / f"{made.quantization}.parity.json")
    assert [one.cause for one in report.differences] == [cause]
    assert (report.answer, report.answers) == ("no", None)
    assert read_registry(task).deployments == []


def test_what_was_trained_passes_and_everything_was_compared(task: Path) -> None:
    write_gguf(task)
    report = check_parity(task, version="v1", model="f32")
    assert (report.answer, report.differences, report.not_compared) == ("yes", [], {})
    assert [one.conversation for one in report.renderings][:7] == [
        "plain",
        "system",
        "multi-turn",
        "system, multi-turn",
        "other scripts",
        "tools",
        "tool call and result",
    ]
    assert all(one.equal for one in report.renderings)
    assert report.does_not_apply == {"thinking": "the chat template knows no thinking"}
    assert report.weights is not None
    assert report.weights.nats < 1e-4
    assert "allowed (trained in float32, served in f32 in llama.cpp); 10 of 10 test rows" in report.message
    assert report.answers is not None
    assert (report.answers.rows, report.answers.same) == (10, 10)
    assert ParityReport.load(task / "models" / "v1" / "f32.parity.json") == report


def test_a_difference_can_be_accepted_and_who_did_is_kept(task: Path) -> None:
    write_gguf(task, template=TEMPLATE.replace("<|turn|>{{", "<|turn|> {{"))
    done = deploy_version(
        task, to="gguf", quantization="f32", confirm=True, accept_difference="only for a demo", by="mei"
    )
    (kept,) = read_registry(task).deployments
    assert done.deployment == kept
    assert (kept.version, kept.artefact, kept.target, kept.name) == (
        "v1",
        "f32",
        "gguf",
        "models/v1/f32.gguf",
    )
    assert kept.parity == "models/v1/f32.parity.json"
    assert kept.accepted is not None
    assert (kept.accepted.by, kept.accepted.why) == ("mei", "only for a demo")
    assert kept.accepted.differences[0].startswith("wrong template: The text is another one")
    assert done.message.endswith("mei accepted that: only for a demo")


def test_without_confirm_nothing_is_made_compared_or_recorded(task: Path) -> None:
    shown = deploy_version(task, version="v1", to="gguf", quantization="f32")
    assert (shown.done, shown.parity, shown.deployment) == (False, None, None)
    assert shown.steps[0] == "make the GGUF file f32.gguf of v1"
    assert shown.message.splitlines()[-1] == (
        "To do it: nlp-skills deploy-version small --version v1 --to gguf --quantization f32 --confirm"
    )
    assert not (task / "registry.json").exists()


def test_a_file_is_copied_to_where_it_is_wanted_and_what_is_there_stays(task: Path, tmp_path: Path) -> None:
    write_gguf(task)
    place = tmp_path / "out" / "small.gguf"
    write_atomic(unfinished(place), b"half of a copy that was killed")
    shown = deploy_version(task, to="gguf", quantization="f32", name=str(place))
    assert shown.message.endswith(f'--to gguf --quantization f32 --name "{place}" --confirm')
    deploy_version(task, to="gguf", quantization="f32", name=str(place), confirm=True)
    assert place.read_bytes() == (task / "models" / "v1" / "f32.gguf").read_bytes()
    assert list(place.parent.iterdir()) == [place]
    place.write_bytes(b"mine")
    with pytest.raises(AlreadyExists, match="is there already and is left as it is"):
        deploy_version(task, to="gguf", quantization="f32", name=str(place), confirm=True)
    assert place.read_bytes() == b"mine"


def test_a_version_that_was_not_evaluated_is_no_yes(task: Path) -> None:
    write_gguf(task)
    (task / "versions" / "v1" / "predictions.jsonl").unlink()
    report = check_parity(task, version="v1", model="f32")
    assert report.answer == "cannot tell"
    assert "was not evaluated. Run: nlp-skills evaluate-version small" in report.message


def test_other_test_rows_than_the_versions_are_not_compared(task: Path) -> None:
    write_gguf(task)
    with (task / "data" / "test.jsonl").open("ab") as stream:
        stream.write(b"\n")
    report = check_parity(task, version="v1", model="f32")
    assert report.answer == "cannot tell"
    assert "data/test.jsonl is not the file that v1 was made for" in report.message


def test_a_folder_is_compared_by_its_own_tokenizer_and_generation_config(task: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(task / "models" / "v1" / "model", tmp_path / "served")
    assert check_parity(task, version="v1", model=str(folder)).answer == "yes"
    config = folder / "generation_config.json"
    said = msgspec.json.decode(config.read_bytes())
    config.write_bytes(msgspec.json.encode({**said, "eos_token_id": 257}))
    template = folder / "chat_template.jinja"
    template.write_text("{{ bos_token }}" + TURNS, encoding="utf-8")
    report = check_parity(task, version="v1", model=str(folder))
    assert [one.cause for one in report.differences] == ["dropped tool block", "missing stop token"]
    template.write_text(TEMPLATE, encoding="utf-8")
    config.write_bytes(msgspec.json.encode({k: v for k, v in said.items() if k != "eos_token_id"}))
    report = check_parity(task, version="v1", model=str(folder))
    assert [one.cause for one in report.differences] == ["missing stop token"]


def test_what_is_not_there_is_named_with_the_command_that_makes_it(task: Path) -> None:
    with pytest.raises(NotReady, match=r"has no q8_0 yet\. Make it with: nlp-skills export-model small"):
        check_parity(task, version="v1")
    with pytest.raises(NotFound, match=r"There is no model 'nowhere\.gguf'"):
        check_parity(task, version="v1", model="nowhere.gguf")


@pytest.mark.parametrize(
    ("ids", "counted", "cause"),
    [
        ([0, 1, 2, 3], 4, None),
        ([0, 1, 2, 3], 5, "double BOS"),
        ([0, 1, 2, 3], 3, "cut prompt"),
        ([0, 0, 1, 2, 3], 5, "double BOS"),
        ([0, 0, 1, 2, 3], 4, None),  # the server cuts what it would write twice
        ([0, 0, 1, 2, 3], None, "double BOS"),
        ([1, 2, 3], 3, "other BOS"),
        ([0, 1, 9, 3], 4, "other vocabulary"),
    ],
)
def test_the_count_of_the_server_decides_over_a_bos_that_nobody_shows(
    ids: list[int], counted: int | None, cause: str | None
) -> None:
    begin = small_gguf.small_tokenizer().bos_token_id
    trainer = Trainer(small_gguf.small_tokenizer(), TrainConfig(base_model="b"))
    asked = conversations(trainer, [])[0][0]._replace(ids=[begin, 1, 2, 3], text="t")
    served = Prompt("t", [begin if n == 0 else n for n in ids], counted)
    found = difference(trainer, asked, served, "there")
    assert (found.cause if found else None) == cause


def answered(*right: bool) -> list[Prediction]:
    return [
        Prediction(id=str(n), expected="a", predicted="a" if yes else "b", correct=yes)
        for n, yes in enumerate(right)
    ]


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        ([True] * 9 + [False], [True] * 9 + [False], "yes"),  # the same in every row, however few
        ([True] * 10, [True] * 9 + [False], "cannot tell"),
        ([True] * 200, [True] * 199 + [False], "yes"),
        ([True] * 200, [True] * 180 + [False] * 20, "no"),
        ([True] * 40, [True] * 38 + [False] * 2, "cannot tell"),
    ],
)
def test_answers_are_worse_beyond_chance_or_not_worse_by_five_points_or_nobody_can_tell(
    before: list[bool], after: list[bool], answer: str
) -> None:
    task = Task(name="t", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy", created="now")
    found = judge_answers(task, answered(*before), answered(*after))
    assert (found.answer, found.rows_to_decide is None) == (answer, answer != "cannot tell")


@pytest.mark.parametrize(
    ("rows", "fixed", "broken", "about"),
    [(10, 0, 1, 88), (30, 1, 3, 158), (30, 2, 2, 271), (100, 1, 3, 241)],
)
def test_so_many_rows_as_are_asked_for_decide_where_answers_go_as_they_did(
    rows: int, fixed: int, broken: int, about: int
) -> None:
    task = Task(name="t", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy", created="now")

    def judged(times: float) -> AnswersCompared:
        up, down, count = (round(n * times) for n in (fixed, broken, rows))
        before = answered(*[False] * up, *[True] * (count - up))
        after = answered(*[True] * up, *[False] * down, *[True] * (count - up - down))
        return judge_answers(task, before, after)

    found = judged(1)
    assert (found.answer, found.rows_to_decide) == ("cannot tell", about)
    assert f"about {about} test rows would tell" in found.reason
    assert judged(1.1 * about / rows).answer != "cannot tell"
