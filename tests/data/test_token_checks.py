"""What the loss would see: each defect is planted in clean rows and found in exactly those, with real tokenizers."""

import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizers import (
    CHATML,
    FAMILIES,
    IM,
    INST,
    LLAMA,
    PLAIN,
    bytes_tokenizer,
    chatml,
    inst,
    llama,
    save_model_folder,
    wrap,
)

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.token_faults import TOOLS_NOT_SHOWN
from nlp_skills.data.checks.tokens import Tokens
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.report import Finding
from nlp_skills.data.token_findings import told_with
from nlp_skills.data.tokens import MAX_LENGTH, configured_max_length
from nlp_skills.task.task import Task

Turns = list[tuple[str, str]]
FILE = "data/train.jsonl"
SMOLLM2 = "smollm2-135m-instruct"


def context(base_model: object, *, max_length: int = 1024) -> Context:
    task = Task.parse(
        {
            "name": "cards",
            "type": "generation",
            "goal": "g",
            "base_model": str(base_model),
            "created": "2026-11-21",
        },
        "the task",
    )
    return Context(task, {}, max_length=max_length)


def row(turns: Turns) -> Example:
    return Example(meta=Meta(id="s-1", source="s"), messages=[Message(*turn) for turn in turns])


def seen(context: Context, examples: Sequence[Example]) -> Tokens:
    family = Tokens(context)
    family.see(Rows(FILE, range(1, len(examples) + 1), examples))
    return family


def found(family: Tokens) -> dict[tuple[str, str], list[int]]:
    """(check, level) → the lines that it names; that they are all of them, the count says."""
    places: dict[tuple[str, str], list[int]] = {}
    for finding in family.findings():
        assert finding.count == len(finding.rows), "no test plants more than five"
        assert {reference.file for reference in finding.rows} <= {FILE}
        places[finding.check, finding.level] = [reference.line for reference in finding.rows]
    return places


def only(family: Tokens) -> Finding:
    (finding,) = family.findings()
    return finding


def padded() -> Any:
    made = wrap(bytes_tokenizer(), CHATML, special=["<|im_start|>", "<|im_end|>", "<pad>"], eos="<|im_end|>")
    made.pad_token = "<pad>"
    return made


ODD: dict[str, Callable[[], Any]] = {
    "exact": lambda: chatml(
        "{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}<|im_start|>{% endif %}{% endfor %}"
    ),
    "bare": lambda: inst("always", INST.replace("[INST] {{ m.content }} [/INST]", "{{ m.content }} [/INST]")),
    "padded": padded,
    "counting": lambda: chatml("{{ messages | length }}" + CHATML),
    "stripping": lambda: chatml(CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base model's folder for every family of templates, and some that are broken on purpose."""
    root = tmp_path_factory.mktemp("models")
    broken: dict[str, Callable[[], Any]] = {
        "two BOS": lambda: llama("{{ bos_token }}" + LLAMA),
        "no BOS": lambda: llama(LLAMA.removeprefix("{{ bos_token }}")),
        "no generation prompt": lambda: chatml(CHATML.partition("{% if add_generation_prompt")[0]),
        "no tokens for the end": lambda: wrap(bytes_tokenizer(), PLAIN, special=["<|x|>"]),
    }
    made = {**FAMILIES, **broken, **ODD}
    folders = {
        name: save_model_folder(root / str(place), make()) for place, (name, make) in enumerate(made.items())
    }
    for name, extra in (("new", ["<|new|>", "<|newer|>"]), ("more", ["<|new|>"])):
        tokenizer = wrap(bytes_tokenizer(), CHATML, special=[*IM, *extra], eos="<|im_end|>")
        folders[name] = save_model_folder(root / name, tokenizer, embedding_rows=len(tokenizer) - len(extra))
    return folders


# No character of a special token; a question and an answer always say something.
CLEAN = st.text(
    st.characters(codec="utf-8", exclude_characters="<>[]|", categories=["L", "N", "Zs"]),
    min_size=1,
    max_size=30,
).filter(lambda text: bool(text.strip()))
PAIR = st.tuples(CLEAN, CLEAN)


def clean_row(pair: tuple[str, str]) -> Turns:
    return [("user", pair[0]), ("assistant", pair[1])]


@st.composite
def planted(draw: st.DrawFn, defect: Callable[[Turns], Turns]) -> tuple[list[Turns], list[int]]:
    """Clean rows, one to five of them with the defect, and their lines."""
    rows = [clean_row(pair) for pair in draw(st.lists(PAIR, min_size=6, max_size=12))]
    lines = sorted(draw(st.sets(st.integers(1, len(rows)), min_size=1, max_size=5)))
    return [defect(turns) if line in lines else turns for line, turns in enumerate(rows, start=1)], lines


HEALTHY = (
    "ChatML",
    "reasoning",
    "generation tags",
    "Llama",
    "SentencePiece, blank first",
    "SentencePiece, blank always",
)


@pytest.mark.parametrize("family", HEALTHY)
@settings(max_examples=20)
@given(pairs=st.lists(PAIR, min_size=1, max_size=8))
def test_clean_rows_are_clean_in_every_family_of_templates(
    folders: dict[str, Path], family: str, pairs: list[tuple[str, str]]
):
    tokens = seen(context(folders[family]), [row(clean_row(pair)) for pair in pairs])
    assert (tokens.findings(), tokens.not_run()) == ([], {})


@settings(max_examples=20)
@given(pairs=st.lists(PAIR, min_size=1, max_size=8))
def test_clean_rows_are_clean_with_the_real_tokenizer(smollm2: BaseModelFiles, pairs: list[tuple[str, str]]):
    tokens = seen(context(SMOLLM2), [row(clean_row(pair)) for pair in pairs])
    assert (tokens.findings(), tokens.not_run()) == ([], {})


@settings(max_examples=30)
@given(rows=planted(lambda turns: [turns[0], ("assistant", turns[1][1] + " yes" * 200)]))
def test_rows_whose_answer_would_be_cut_are_named(
    smollm2: BaseModelFiles, rows: tuple[list[Turns], list[int]]
):
    tokens = seen(context(SMOLLM2, max_length=150), list(map(row, rows[0])))
    assert found(tokens) == {("LEN-CUT", "warning"): rows[1]}
    count = len(rows[1])
    assert f"the answer would be cut in {count} and missing in 0" in only(tokens).message


@settings(max_examples=30)
@given(rows=planted(lambda turns: [("user", turns[0][1] + " why" * 300), turns[1]]))
def test_rows_whose_answer_would_be_missing_are_named(
    smollm2: BaseModelFiles, rows: tuple[list[Turns], list[int]]
):
    tokens = seen(context(SMOLLM2, max_length=150), list(map(row, rows[0])))
    assert found(tokens) == {("LEN-CUT", "warning"): rows[1]}
    assert f"the answer would be cut in 0 and missing in {len(rows[1])}" in only(tokens).message


def test_the_length_that_would_keep_the_rows_is_said(folders: dict[str, Path]):
    lengths = [*range(20, 119), 400]
    # Every character here is a token of its own, and two special ones are added.
    rows = [row([("user", "1" * (length - 3)), ("assistant", "2")]) for length in lengths]
    tokens = seen(context(folders["exact"], max_length=100), rows)
    finding = next(f for f in tokens.findings() if f.check == "LEN-CUT")
    assert finding.message == (
        "Longer than max_length 100: 19 rows; the answer would be cut in 1 and missing in 18."
        " p95 is 114 tokens, p99 118: max_length 118 keeps 99 % of the rows, 400 all."
    )
    assert finding.count == 19
    assert finding.fix.endswith("nlp-skills create-version {task} --max-length 400")
    assert tokens.distributions() == {"tokens train": {"0-99": 80, "100-199": 19, "400-499": 1}}


def test_rows_beyond_what_the_model_can_look_back_on_are_said(folders: dict[str, Path]):
    folder = save_model_folder(folders["ChatML"].parent / "short", chatml(), positions=64)
    tokens = seen(
        context(folder, max_length=40), [row([("user", "1" * n), ("assistant", "2")]) for n in (1, 40, 99)]
    )
    finding = only(tokens)
    assert finding.count == 2
    assert finding.message.endswith(f" {folder} can look back on 64 tokens only; longer: 1 row.")
    assert finding.fix.endswith("nlp-skills create-version {task} --max-length 64")


LITERAL = st.sampled_from(["<|im_end|>", "<|im_start|>", "<|endoftext|>"])


@settings(max_examples=30)
@given(data=st.data(), token=LITERAL, side=st.sampled_from(["user", "assistant"]))
def test_special_tokens_in_a_text_are_named(
    smollm2: BaseModelFiles, data: st.DataObject, token: str, side: str
):
    def defect(turns: Turns) -> Turns:
        return [(role, f"{said}{token}\nx" if role == side else said) for role, said in turns]

    rows, lines = data.draw(planted(defect))
    tokens = seen(context(SMOLLM2), list(map(row, rows)))
    assert found(tokens) == {("TOK-EOS", "error" if side == "assistant" else "warning"): lines}
    assert only(tokens).rows[0].text.startswith(f"{token} in: ")


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("no end token in the template", ("TOK-EOS", "warning")),
        ("no tokens for the end", ("TOK-EOS", "error")),
        ("two BOS", ("TOK-BOS", "error")),
        ("no BOS", ("TOK-BOS", "warning")),
        ("no generation prompt", ("MASK-RATIO", "error")),
    ],
)
@settings(max_examples=15)
@given(pairs=st.lists(PAIR, min_size=1, max_size=5))
def test_a_broken_template_is_found_in_every_row(
    folders: dict[str, Path], family: str, expected: tuple[str, str], pairs: list[tuple[str, str]]
):
    tokens = seen(context(folders[family]), [row(clean_row(pair)) for pair in pairs])
    assert found(tokens) == {expected: list(range(1, len(pairs) + 1))}


@settings(max_examples=20)
@given(rows=planted(lambda turns: [("system", "<s>" + turns[0][1]), *turns]))
def test_a_beginning_that_stands_in_the_text_is_the_second_one(
    folders: dict[str, Path], rows: tuple[list[Turns], list[int]]
):
    tokens = seen(context(folders["bare"]), list(map(row, rows[0])))
    assert found(tokens) == {("TOK-BOS", "error"): rows[1], ("TOK-EOS", "warning"): rows[1]}


@settings(max_examples=20)
@given(rows=planted(lambda turns: [("user", turns[0][1] + "<|endoftext|>"), turns[1]]))
def test_tokens_without_an_embedding_are_named(folders: dict[str, Path], rows: tuple[list[Turns], list[int]]):
    plant = [
        [(role, said.replace("<|endoftext|>", "<|newer|>")) for role, said in turns] for turns in rows[0]
    ]
    tokens = seen(context(folders["new"]), list(map(row, plant)))
    assert found(tokens) == {("TOK-RESIZE", "error"): rows[1]}
    assert only(tokens).rows[0].text == "<|newer|>"


def test_more_tokens_than_embeddings_are_a_warning_where_no_row_uses_them(folders: dict[str, Path]):
    tokens = seen(context(folders["more"]), [row(clean_row(("a", "b")))])
    assert found(tokens) == {("TOK-RESIZE", "warning"): []}
    said = re.search(
        r"The tokenizer has (\d+) tokens and the base model's embedding (\d+) rows", only(tokens).message
    )
    assert said is not None and int(said[1]) == int(said[2]) + 1


@settings(max_examples=20)
@given(rows=planted(lambda turns: [turns[0], ("assistant", turns[1][1] + "<pad>")]))
def test_answers_that_hold_the_padding_token_are_named(
    folders: dict[str, Path], rows: tuple[list[Turns], list[int]]
):
    assert found(seen(context(folders["padded"]), list(map(row, rows[0])))) == {
        ("MASK-RATIO", "error"): rows[1]
    }


@settings(max_examples=20)
@given(rows=planted(lambda turns: turns[:1]))
def test_rows_without_an_answer_are_named(smollm2: BaseModelFiles, rows: tuple[list[Turns], list[int]]):
    assert found(seen(context(SMOLLM2), list(map(row, rows[0])))) == {("MASK-EMPTY", "error"): rows[1]}


def test_rows_that_the_template_cannot_split_are_named(folders: dict[str, Path]):
    finding = only(seen(context(folders["counting"]), [row(clean_row((text, text))) for text in "abc"]))
    assert (finding.check, finding.level, [r.line for r in finding.rows]) == (
        "MASK-EMPTY",
        "error",
        [1, 2, 3],
    )
    assert "the chat template does not render the answer after its prompt" in finding.rows[0].text


def test_calls_that_the_template_cannot_write_are_named(smollm2: BaseModelFiles):
    call = Message("assistant", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {}}}])
    example = Example(meta=Meta("s-1", "s"), messages=[Message("user", "a"), call])
    offered = row(clean_row(("with a tool", "b")))
    offered.tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    rows = [row(clean_row(("a", "b"))), example, offered]
    finding = only(seen(context(SMOLLM2), rows))
    assert (finding.check, finding.level) == ("MASK-EMPTY", "error")
    assert [(r.line, r.text) for r in finding.rows] == [(2, "a"), (3, "with a tool")]
    assert finding.message == f"{TOOLS_NOT_SHOWN}: 2 rows."
    assert "Qwen2.5-Instruct, Qwen3, Llama 3.1 and later" in finding.fix
    prompted = replace(context(SMOLLM2), tools_in_prompt=True)
    assert seen(prompted, [row(clean_row(("a", "b"))), offered, offered]).findings() == []


def reasoned(turns: Turns) -> Turns:
    return [turns[0], ("assistant", f"<think>\nwell\n</think>\n\n{turns[1][1]}")]


@pytest.mark.parametrize("family", ["reasoning", "ChatML"])
@settings(max_examples=20)
@given(rows=planted(reasoned))
def test_reasoning_in_some_rows_only_names_the_rarer_ones(
    folders: dict[str, Path], family: str, rows: tuple[list[Turns], list[int]]
):
    examples = [*map(row, rows[0]), *[row(clean_row(("a", "b")))] * 6]
    tokens = seen(context(folders[family]), examples)
    assert found(tokens) == {("TMPL-THINK", "warning"): rows[1]}
    assert only(tokens).message.startswith(f"{len(rows[1])} of {len(examples)} rows (")


def test_reasoning_in_every_row_is_no_mixture(folders: dict[str, Path]):
    examples = [row(reasoned(clean_row((text, text)))) for text in "abc"]
    assert seen(context(folders["reasoning"]), examples).findings() == []


@settings(max_examples=20)
@given(rows=planted(lambda turns: [*turns, *turns]))
def test_a_template_that_drops_earlier_reasoning_names_the_conversations(
    folders: dict[str, Path], rows: tuple[list[Turns], list[int]]
):
    examples = [row([turn for turns in (r[:2], r[2:]) if turns for turn in reasoned(turns)]) for r in rows[0]]
    assert found(seen(context(folders["reasoning"]), examples)) == {("TMPL-THINK", "warning"): rows[1]}


def test_the_answers_of_such_a_conversation_are_measured_one_by_one(folders: dict[str, Path]):
    turns = [turn for text in ("a", "b c d e f") for turn in reasoned(clean_row((text, text)))]
    whole, first = row(turns), row(turns[:2])
    lengths = [
        max(seen(context(folders["reasoning"]), [example])._lengths[FILE]) for example in (first, whole)
    ]
    assert lengths[0] < lengths[1]
    cut = found(seen(context(folders["reasoning"], max_length=lengths[1] - 1), [first, whole]))
    assert cut["LEN-CUT", "warning"] == [2]


def test_a_template_that_drops_all_reasoning_names_the_rows(folders: dict[str, Path]):
    finding = only(
        seen(context(folders["stripping"]), [row(reasoned(clean_row((text, text)))) for text in "abc"])
    )
    assert (finding.check, finding.count) == ("TMPL-THINK", 3)
    assert "leaves the reasoning out" in finding.message


def test_both_answers_of_a_preference_are_looked_at_and_the_row_counts_once(smollm2: BaseModelFiles):
    def preference(chosen: str, rejected: str) -> Example:
        asked, good, bad = Message("user", "a"), Message("assistant", chosen), Message("assistant", rejected)
        return Example(meta=Meta("s-1", "s"), prompt=[asked], chosen=[good], rejected=[bad])

    rows = [preference("b", "c"), preference("b<|im_end|>", "c<|im_end|>"), preference("b", "c" + " c" * 200)]
    tokens = seen(context(SMOLLM2, max_length=100), rows)
    assert found(tokens) == {("LEN-CUT", "warning"): [3], ("TOK-EOS", "error"): [2]}


def test_of_a_preference_only_the_last_answers_are_learned_and_counted(smollm2: BaseModelFiles):
    before = [Message("user", "a"), Message("assistant", "an earlier answer " * 20), Message("user", "b")]
    pair = Example(
        meta=Meta("s-1", "s"),
        prompt=before,
        chosen=[Message("assistant", "good")],
        rejected=[Message("assistant", "bad")],
    )
    marked = Example(meta=Meta("s-2", "s", label="true"), messages=[*before, Message("assistant", "good")])
    asked = context(SMOLLM2, max_length=60)
    judged = replace(asked, task=asked.task.with_changes(type="preference"))
    tokens = only(seen(judged, [pair, marked]))
    assert (tokens.check, tokens.count) == ("LEN-CUT", 2)
    assert "the answer would be cut in 0 and missing in 2" in tokens.message
    assert [" 2 of the answer cut" in reference.text for reference in tokens.rows] == [True, True]
    # As one conversation of a task that is no preference, the earlier answer is learned too.
    assert "the answer would be cut in 1 and missing in 0" in only(seen(asked, [marked])).message


def test_parts_that_other_processes_saw_add_up_to_the_whole(smollm2: BaseModelFiles):
    turns = [
        clean_row((f"question {n} " * (n % 50), f"answer {n}<|im_end|>" if n % 7 == 0 else "yes"))
        for n in range(300)
    ]
    examples = [row(some) for some in turns]
    where = context(SMOLLM2, max_length=120)
    first, second = (Tokens(where) for _ in range(2))
    first.see(Rows(FILE, range(1, 101), examples[:100]))
    second.see(Rows(FILE, range(101, 301), examples[100:]))
    merged = pickle.loads(pickle.dumps(first))
    merged.merge(pickle.loads(pickle.dumps(second)))
    whole = seen(where, examples)
    assert merged.findings() == whole.findings() != []
    assert merged.distributions() == whole.distributions()


def test_without_the_tokenizer_nothing_is_said_and_the_reason_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tokens = seen(context("nobody/no-such-model"), [row([("user", "a")])])
    assert tokens.findings() == []
    assert set(tokens.not_run()) == set(Tokens.checks)
    assert all("hf download nobody/no-such-model" in reason for reason in tokens.not_run().values())


def test_a_folder_that_holds_no_tokenizer_is_the_reason(tmp_path: Path):
    reasons = set(Tokens(context(tmp_path)).not_run().values())
    assert len(reasons) == 1 and f"The tokenizer of {tmp_path}" in reasons.pop()


def test_where_the_embedding_is_not_known_only_that_check_does_not_run(folders: dict[str, Path]):
    folder = save_model_folder(folders["ChatML"].parent / "unknown", chatml())
    (folder / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    assert Tokens(context(folder)).not_run() == {
        "TOK-RESIZE": f"the config.json of {folder} has no vocab_size"
    }


def test_the_length_is_the_newest_versions(tmp_path: Path):
    assert configured_max_length(tmp_path) == MAX_LENGTH
    for version, text in (("v2", "max_length: 300\n"), ("v10", "max_length: 500\n"), ("v11", None)):
        folder = tmp_path / "versions" / version
        folder.mkdir(parents=True)
        if text:
            (folder / "config.yaml").write_text(text, encoding="utf-8")
    assert configured_max_length(tmp_path) == 500
    (tmp_path / "versions" / "v10" / "config.yaml").write_text("epochs: 2\n", encoding="utf-8")
    assert configured_max_length(tmp_path) == MAX_LENGTH


def test_what_was_found_with_another_thinking_mode_does_not_hold() -> None:
    plain = context(SMOLLM2)
    told = [told_with(replace(plain, enable_thinking=thinking)) for thinking in (None, False, True)]
    assert told[0] == told_with(plain)
    assert len(set(told)) == 3
