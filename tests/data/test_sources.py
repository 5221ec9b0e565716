"""Every kind of source that data_source.yaml may name has a module that reads it."""

from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.source import DataSource, FileSource


def test_the_kinds_are_those_of_the_record() -> None:
    union = get_args(get_args(DataSource)[0])
    assert {kind.model_fields["type"].default for kind in union} == set(SOURCES)


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_has_a_module_of_its_name(kind: str) -> None:
    assert callable(import_module(f"nlp_skills.data.sources.{kind}").read)


def test_a_source_is_read_by_the_module_of_its_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    rows = SOURCES["file"](FileSource(name="s", path="a.csv"), Fetch(tmp_path))
    assert list(rows) == [(2, {"a": "1", "b": "2"})]
