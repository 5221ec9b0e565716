"""A run that had to become shorter leaves its longest rows out, says which, and refuses rows that nobody allowed it to."""

from pathlib import Path
from typing import Any

import pytest
from small_task import make_small_task

from nlp_skills.base_model import LocalTokenizer
from nlp_skills.data.checks.token_faults import TokenModel
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.check import Refused, prepare
from nlp_skills.training.preflight.row_faults import cut_findings, row_findings
from nlp_skills.training.preflight.rows import SplitRows


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_task(tmp_path_factory.mktemp("home") / "tasks")


def test_rows_that_are_too_long_for_the_memory_are_left_out_by_id(task: Path) -> None:
    whole = prepare(task, "v1", {})
    lengths = sorted(row.length for row in whole.rows["train"])
    limit = lengths[-3]
    shorter = prepare(task, "v1", {"max_length": limit})
    split = shorter.splits["train"]
    kept = {example.meta.id for example in split.examples}
    assert [row.length for row in split.rows] == [r.length for r in whole.rows["train"] if r.length <= limit]
    assert kept | {*split.left_out} == {example.meta.id for example in whole.splits["train"].examples}
    assert len(split.left_out) == sum(length > limit for length in lengths) > 0
    assert shorter.facts.longest is not None
    assert shorter.facts.longest.longest == limit


def test_what_stands_against_a_run_is_raised_with_its_id(task: Path) -> None:
    with pytest.raises(Refused, match=r"TARGET-MODULES: .* has no linear module 'nothing'"):
        prepare(task, "v1", {"target_modules": ["nothing"]})


def checked(rows: list[TokenRow], tokenizer: Any, **settings: Any) -> list[tuple[str, int]]:
    """(check, rows) of what is found in rows whose conversations are not known."""
    model = TokenModel(LocalTokenizer(tokenizer, None, 64))
    config = TrainConfig(max_length=128, **settings)
    split = SplitRows([Example(meta=Meta(id="a", source="s"), messages=[Message("user", "a")])], rows)
    found, _ = row_findings(model, config, {"train": split, "valid": SplitRows([], [])})
    return [(f.check, f.count) for f in found if f.level == "error"]


def test_texts_that_are_learned_in_pieces_are_told_of() -> None:
    config = TrainConfig(method="cpt", max_length=128)
    assert list(cut_findings(config, 3, 128, 3)) == []
    (found,) = cut_findings(config, 3, 128, 7)
    assert (found.check, found.level, found.count) == ("LEN-CUT", "warning", 4)
    assert found.message.startswith("3 texts are learned in 7 pieces of up to 128 tokens (max_length 128)")
    assert list(cut_findings(config.with_changes(method="sft"), 3, 128, 7)) == []


def test_faults_of_labels_are_found_without_the_text() -> None:
    from small_model import small_tokenizer

    tokenizer = small_tokenizer()
    end, text = tokenizer.eos_token_id, [70, 71, 72]
    good = TokenRow([*text, 80, end], [IGNORED] * 3 + [80, end])
    assert checked([good, good], tokenizer) == []
    assert checked([good, TokenRow([*text, end], [IGNORED] * 3 + [end])], tokenizer) == [("MASK-EMPTY", 1)]
    assert checked([good, TokenRow([*text, end], [IGNORED] * 4)], tokenizer) == [("MASK-EMPTY", 1)]
    assert checked([TokenRow([*text, end], [*text, end]), good], tokenizer) == [("MASK-RATIO", 1)]
    assert checked([TokenRow([*text, end], [*text, end]), good], tokenizer, assistant_only_loss=False) == []
    assert checked([good, TokenRow([*text, 80, 81], [IGNORED] * 3 + [80, 81])], tokenizer) == [("TOK-EOS", 1)]
    assert checked([good, TokenRow([*text] * 30 + [end], [IGNORED] * 89 + [72, end])], tokenizer) == [
        ("LEN-CUT", 1)
    ]
