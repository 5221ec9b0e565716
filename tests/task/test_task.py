"""Tasks: names that are safe everywhere, fields that fit each other, one folder made once."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.errors import AlreadyExists, NotFound, NotValid
from nlp_skills.task.task import (
    MARKER,
    METRICS,
    Task,
    TaskType,
    create_task,
    find_task,
    task_names,
    tasks_folder,
)

BAD_NAMES = [
    "",
    ".",
    "..",
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "a/b",
    "a\\b",
    "C:evil",
    "~",
    "News",
    "my task",
    "-a",
    "a-",
    "a--b",
    "情感",
    "a\n",
    "a\0",
    "con",
    "nul",
    "com1",
    "lpt9",
    "a" * 64,
    "a" * 62 + "-b",
    "task.yaml",
]


def everything_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def refused(name: str) -> str:
    with pytest.raises(NotValid) as caught:
        Task.parse({"name": name, "type": "qa", "goal": "g", "created": "now"}, "here")
    return str(caught.value)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_makes_nothing_and_the_name_that_is_proposed_is_a_good_one(tmp_path: Path, name: str):
    with pytest.raises(
        NotValid, match=r"use lower-case letters, digits and single hyphens|reserved name on Windows"
    ) as caught:
        create_task(tmp_path / "tasks", name, type=TaskType.QA, goal="Answer.")
    assert everything_below(tmp_path) == []
    cure = re.search(r'for example "([^"]+)"', str(caught.value))
    assert cure is not None
    assert create_task(tmp_path / "tasks", cure[1], type=TaskType.QA, goal="Answer.").name == cure[1]


@given(name=st.text(max_size=80))
def test_every_name_is_good_or_comes_with_a_good_one(name: str):
    fields = {"type": "qa", "goal": "g", "created": "now"}
    try:
        assert Task.parse({"name": name, **fields}, "here").name == name
        assert not set(name) & set("./\\: ")
    except NotValid as error:
        cure = re.search(r'for example "([^"]+)"', str(error))
        assert cure is not None and Task.parse({"name": cure[1], **fields}, "here")


@pytest.mark.parametrize("name", [*BAD_NAMES, "nws"])
def test_looking_for_a_name_never_leaves_the_tasks_folder(tmp_path: Path, name: str):
    home = tmp_path / "work" / "tasks"
    create_task(home, "news", type=TaskType.QA, goal="Answer.")
    for outside in (tmp_path / "evil", tmp_path / "work", home):
        outside.mkdir(exist_ok=True)
        (outside / "task.yaml").write_bytes((home / "news" / "task.yaml").read_bytes())
    with pytest.raises(NotFound, match=r"Known tasks: news\."):
        find_task(home, name)


def test_a_name_that_is_not_there_comes_with_the_nearest_and_all_names(tmp_path: Path):
    home = tmp_path / "tasks"
    with pytest.raises(NotFound, match=r"holds no task yet\. Create one with: nlp-skills create-task"):
        find_task(home, "news")
    for name in ("news", "tickets"):
        create_task(home, name, type=TaskType.QA, goal="Answer.")
    with pytest.raises(NotFound, match=r'\(did you mean "news"\?\)\. Known tasks: news, tickets\.'):
        find_task(home, "nws")
    assert find_task(home, "tickets") == home / "tickets"


def test_only_folders_that_can_be_found_are_tasks(tmp_path: Path):
    home = tmp_path / "tasks"
    create_task(home, "news", type=TaskType.QA, goal="Answer.")
    for name in (".news.abc.tmp", "Not A Task"):
        (home / name).mkdir()
        (home / name / "task.yaml").write_text("name: x", encoding="utf-8")
    (home / "empty").mkdir()
    assert task_names(home) == ["news"]


def test_a_task_is_made_once_and_stays_as_it_is(tmp_path: Path):
    home = tmp_path / "tasks"
    task = create_task(
        home,
        "entity-sentiment",
        type=TaskType.ENTITY_CLASSIFICATION,
        goal="判斷新聞標題對每家公司的情感。",
        pain="一句話裡有兩家公司時常常判斷錯誤",
        language="zh-Hant",
        labels=["positive", "neutral", "negative"],
        metric="accuracy",
        target=0.85,
        latency_ms=300,
        privacy="internal",
    )
    folder = home / "entity-sentiment"
    assert Task.load(folder / "task.yaml") == task
    assert task.constraints.model_dump(exclude_none=True) == {"latency_ms": 300, "privacy": "internal"}
    assert (tmp_path / MARKER).is_dir()
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(AlreadyExists, match=r"is left as it is\. Choose another name"):
        create_task(home, "entity-sentiment", type=TaskType.QA, goal="Other.")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("kind", TaskType)
def test_every_type_has_metrics_and_its_first_is_the_default(kind: TaskType):
    task = Task.parse({"name": "a", "type": kind, "goal": "g", "created": "now"}, "here")
    assert task.chosen_metric == METRICS[kind][0]
    assert task.with_changes(metric=METRICS[kind][1]).chosen_metric == METRICS[kind][1]
    assert kind.has_labels == ("macro_f1" in METRICS[kind])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "metric",
            "token_f1",
            "task.yaml: metric: 'token_f1' does not fit type classification; choose from: macro_f1, accuracy, micro_f1,"
            " weighted_f1, balanced_accuracy, matthews_correlation, expected_calibration_error, brier_score",
        ),
        ("labels", ["a", "b", "a"], "the same label stands twice"),
        ("target", 85, "target: input should be less than or equal to 1, not 85"),
        ("type", "sentiment", "type: input should be 'classification'"),
        ("constraints", {"latency_ms": -1}, "constraints.latency_ms: input should be greater than 0"),
        ("constraints", {"latency": 1}, 'constraints.latency: unknown field (did you mean "latency_ms"?)'),
        ("lables", ["a"], 'lables: unknown field (did you mean "labels"?)'),
    ],
)
def test_fields_that_do_not_fit_are_refused_with_the_choices(field: str, value: object, said: str):
    fields = {"name": "a", "type": "classification", "goal": "g", "created": "now", field: value}
    with pytest.raises(NotValid) as caught:
        Task.parse(fields, "tasks/a/task.yaml")
    assert str(caught.value).startswith("tasks/a/task.yaml: ")
    assert said.lower() in str(caught.value).lower()


def test_a_task_without_a_goal_is_not_made(tmp_path: Path):
    with pytest.raises(NotValid, match="say in one sentence what the model should do"):
        create_task(tmp_path / "tasks", "a", type=TaskType.QA, goal="  ")
    assert everything_below(tmp_path) == []


def test_the_tasks_folder_is_the_one_given_then_the_environment_then_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NLP_SKILLS_HOME", "elsewhere")
    assert tasks_folder(Path("given")) == Path("given")
    assert tasks_folder() == Path("elsewhere")
    monkeypatch.delenv("NLP_SKILLS_HOME")
    assert tasks_folder() == Path("tasks")


def test_a_check_is_off_with_and_without_quotes(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(
        "name: a\ntype: qa\ngoal: b\ncreated: ''\nquality: {DATA-LANG: off, DATA-DUP: 'off', DATA-PII: 0.5}\n",
        encoding="utf-8",
    )
    assert Task.load(path).quality == {"DATA-LANG": "off", "DATA-DUP": "off", "DATA-PII": 0.5}


@pytest.mark.parametrize("asked", ["1%", 5, 1, True, None, [0.1], "errors"])
def test_a_threshold_that_is_none_is_named_with_what_it_may_be(asked: object) -> None:
    with pytest.raises(
        NotValid, match=r"quality: for DATA-DUP give a share from 0 to below 1 \(1 % is 0\.01\)"
    ):
        Task.parse(
            {"name": "a", "type": "qa", "goal": "b", "created": "", "quality": {"DATA-DUP": asked}}, "t"
        )


def test_an_error_of_task_yaml_names_the_line_of_the_field(tmp_path: Path):
    file = tmp_path / "task.yaml"
    file.write_text(
        "name: a\ntype: classification\ngoal: g\nmetric: token_f1\ncreated: now\n", encoding="utf-8"
    )
    with pytest.raises(NotValid) as caught:
        Task.load(file)
    assert str(caught.value).startswith(
        f"{file}, line 4: metric: 'token_f1' does not fit type classification; choose from: macro_f1, accuracy, "
    )


def test_a_name_that_windows_reserves_says_so(tmp_path: Path):
    with pytest.raises(
        NotValid, match=r'name: "nul" is a reserved name on Windows; take another, for example "nul-task"'
    ):
        create_task(tmp_path / "tasks", "nul", type=TaskType.QA, goal="g")


@pytest.mark.parametrize("given", ["tasks/lat", "./tasks/lat/", "C:\\tasks\\lat", "lat/"])
def test_a_path_in_the_place_of_a_name_is_answered_with_the_name(tmp_path: Path, given: str):
    create_task(tmp_path / "tasks", "lat", type=TaskType.QA, goal="g")
    with pytest.raises(NotFound) as caught:
        find_task(tmp_path / "tasks", given)
    assert str(caught.value) == (
        f"No task named {given!r} in {tmp_path / 'tasks'}: that is a path. Give the task by its name: lat."
    )
