"""General rows that are mixed in: how many, the same ones for a seed, and only from the file that was recorded."""

from pathlib import Path

import pytest

from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.replay import read_replay, replay_sha256


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    rows = [
        Example(meta=Meta(f"g-{n}", "g"), messages=[Message("user", f"q {n}"), Message("assistant", "a")])
        for n in range(50)
    ]
    write_examples(tmp_path / "data" / "general.jsonl", rows)
    return tmp_path


def config(task: Path, **settings: object) -> TrainConfig:
    name = "data/general.jsonl"
    return TrainConfig.parse(
        {"replay_file": name, "replay_sha256": replay_sha256(task, name), **settings}, "config"
    )


def names(rows: list[Example]) -> list[str]:
    return [row.meta.id for row in rows]


@pytest.mark.parametrize(
    ("share", "rows", "expected"), [(0.1, 90, 10), (0.25, 30, 10), (0.5, 20, 20), (0.1, 2, 1)]
)
def test_the_replayed_rows_are_their_share_of_an_epoch(
    task: Path, share: float, rows: int, expected: int
) -> None:
    found = read_replay(task, config(task, replay_share=share), rows)
    assert len(found) == len(set(names(found))) == expected


def test_a_file_with_fewer_rows_gives_all_it_has(task: Path) -> None:
    found = read_replay(task, config(task, replay_share=0.5), 1000)
    assert sorted(names(found)) == sorted(f"g-{n}" for n in range(50))


def test_the_seed_decides_which_rows(task: Path) -> None:
    first, again, other = (read_replay(task, config(task, seed=seed), 90) for seed in (1, 1, 2))
    assert names(first) == names(again) != names(other)


def test_nothing_is_replayed_without_a_file(task: Path) -> None:
    assert read_replay(task, TrainConfig(), 90) == []
    assert replay_sha256(task, None) is None


def test_another_file_than_the_recorded_one_is_refused(task: Path) -> None:
    made = config(task)
    file = task / "data" / "general.jsonl"
    assert made.replay_sha256 == sha256_file(file)
    file.write_bytes(file.read_bytes().replace(b"q 7", b"q 8"))
    with pytest.raises(NotValid, match=r"data/general\.jsonl is not the file that the version was made for"):
        read_replay(task, made, 90)


def test_a_file_that_is_not_there_or_empty_or_broken_is_refused(task: Path) -> None:
    with pytest.raises(NotFound, match=r"replay_file: .*none\.jsonl does not exist"):
        replay_sha256(task, "data/none.jsonl")
    (task / "data" / "empty.jsonl").write_bytes(b"")
    with pytest.raises(NotValid, match=r"empty\.jsonl has no rows"):
        replay_sha256(task, "data/empty.jsonl")
    (task / "data" / "broken.jsonl").write_bytes(b'{"messages": 1}\n')
    with pytest.raises(NotValid, match=r"broken\.jsonl:1:"):
        replay_sha256(task, "data/broken.jsonl")
