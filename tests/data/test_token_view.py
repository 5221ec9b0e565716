"""What the loss sees, as people see it: record, terminal and page of the real tokenizer's tokens."""

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from small_tokenizers import FAMILIES, save_model_folder

from nlp_skills import tables
from nlp_skills.base_model import BaseModelFiles, load_tokenizer, local_tokenizer
from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.token_page import token_page
from nlp_skills.data.token_runs import (
    PreviewedRow,
    TokenPreview,
    TokenRun,
    pieces,
    previewed,
    visible,
)
from nlp_skills.data.token_view import preview_tokens
from nlp_skills.data.tokens import IGNORED, TokenRow, answer_ids, tokenize
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.task.task import Task, TaskType, create_task

SYSTEM = "<|im_start|>system\nBe brief.<|im_end|>\n"
PAD = (
    "<|im_end|> pads batches and ends answers. The training here masks padding by its place, so the end stays trained; a"
    " program that masks it by its token would unlearn to stop."
)


def row(*said: str, name: str = "s-1") -> Example:
    turns = [Message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(said)]
    return Example(meta=Meta(name, "s"), messages=[Message("system", "Be brief."), *turns])


@pytest.fixture
def task(tmp_path: Path, smollm2: BaseModelFiles) -> Path:
    create_task(tmp_path / "tasks", "cards", type=TaskType.GENERATION, goal="Answer.")
    return tmp_path / "tasks" / "cards"


def fill(task: Path, *examples: Example) -> Path:
    write_examples(task / "data" / "train.jsonl", examples)
    return task


def limit(task: Path, tokens: int) -> Path:
    (task / "versions" / "v1").mkdir(parents=True)
    (task / "versions" / "v1" / "config.yaml").write_text(f"max_length: {tokens}\n", encoding="utf-8")
    return task


def printed(preview: TokenPreview, *, colour: bool = False) -> str:
    out = io.StringIO()
    system = "standard" if colour else None
    console = Console(
        file=out,
        width=100 + len(preview.page),  # the page's path in one line, however long it is
        color_system=system,
        force_terminal=colour,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(tables.render(preview))
    return out.getvalue()


class Blocks(HTMLParser):
    """The text of each <pre>, and every tag of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "pre":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def test_a_conversation_becomes_runs_that_are_trained_or_not(task: Path):
    found = preview_tokens(fill(task, row("Where?", "There.", "When?", "Now.")))
    assert found == TokenPreview(
        task="cards",
        file="data/train.jsonl",
        base_model="smollm2-135m-instruct",
        max_length=2048,
        marks={"<|endoftext|>": "end", "<|im_start|>": "begin", "<|im_end|>": "end"},
        page=str(task / "data" / "tokens.html"),
        notes=[PAD],
        rows=[
            PreviewedRow(
                line=1,
                id="s-1",
                tokens=37,
                trained=6,
                runs=[
                    TokenRun(
                        text=SYSTEM + "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n",
                        trained=False,
                    ),
                    TokenRun(text="There.<|im_end|>", trained=True),
                    TokenRun(
                        text="\n<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n", trained=False
                    ),
                    TokenRun(text="Now.<|im_end|>", trained=True),
                ],
            )
        ],
    )


def test_the_terminal_shows_the_same_without_colour_and_with_it(task: Path):
    found = preview_tokens(fill(task, row("Where?", "There.")))
    plain = printed(found)
    assert plain.endswith(
        "data/train.jsonl:1  s-1  22 tokens, 3 trained\n"
        "<|im_start|>(BOS)system\nBe brief.<|im_end|>(EOS)\n<|im_start|>user\nWhere?<|im_end|>(EOS)\n"
        "<|im_start|>assistant\n[[There.<|im_end|>(EOS)]]\n\nIn full: "
        f"{task / 'data' / 'tokens.html'}\n"
    )
    coloured = printed(found, colour=True)
    assert "\x1b[4;32mThere.\x1b[0m\x1b[1;4;32m<|im_end|>(EOS)\x1b[0m" in coloured
    assert "[[There" not in coloured


def test_what_max_length_cuts_is_told_apart(task: Path):
    found = preview_tokens(limit(fill(task, row("Where?", "a b c d e f")), 22))
    (shown,) = found.rows
    assert (found.max_length, shown.tokens, shown.trained, shown.cut) == (22, 26, 7, 4)
    assert shown.runs[1:] == [
        TokenRun(text="a b c", trained=True),
        TokenRun(text=" d e f<|im_end|>", trained=True, cut=True),
    ]
    assert "[[a b c]]{{[[ d e f<|im_end|>(EOS)]]}}" in printed(found)
    assert "<mark>a b c</mark><del><mark> d e f</mark></del>" in (task / found.page).read_text(
        encoding="utf-8"
    )


def test_long_runs_are_shortened_but_for_the_page(task: Path):
    answer = " ".join(f"word{number}" for number in range(150))
    found = preview_tokens(fill(task, row("Where?", answer)))
    text = found.rows[0].runs[1].text
    assert len(text) < 450 and text.startswith("word0 word1 ") and text.endswith("word149<|im_end|>")
    assert "characters…]" in text
    assert answer in Blocks((task / found.page).read_text(encoding="utf-8")).texts[0]
    assert len(found.model_dump_json()) < 2_000


def test_the_longest_row_is_among_those_chosen_and_the_choice_is_the_same_again(task: Path):
    rows = [
        row(f"Question {number}?", "yes " * (900 if number == 70 else number % 9 + 1))
        for number in range(100)
    ]
    found = preview_tokens(fill(task, *rows), rows=4)
    assert len(found.rows) == 4 and 71 in [shown.line for shown in found.rows]
    assert [shown.line for shown in found.rows] == sorted(shown.line for shown in found.rows)
    assert preview_tokens(task, rows=4) == found
    assert [shown.line for shown in preview_tokens(task, rows=1).rows] == [71]


def test_the_lines_that_are_named_are_shown_in_that_order(task: Path):
    fill(task, *(row(f"Question {number}?", "yes", name=f"s-{number}") for number in range(1, 10)))
    found = preview_tokens(task, line=[7, 2])
    assert [(shown.line, shown.id) for shown in found.rows] == [(7, "s-7"), (2, "s-2")]


def test_a_preference_is_two_conversations_and_a_row_without_an_answer_says_so(task: Path):
    asked, good, bad = Message("user", "a"), Message("assistant", "good"), Message("assistant", "bad")
    pair = Example(meta=Meta("p-1", "s"), prompt=[asked], chosen=[good], rejected=[bad])
    found = preview_tokens(fill(task, pair, row("nothing")))
    assert [(shown.line, shown.id) for shown in found.rows] == [
        (1, "p-1 (chosen)"),
        (1, "p-1 (rejected)"),
        (2, "s-1"),
    ]
    assert [shown.runs[-1].text for shown in found.rows[:2]] == ["good<|im_end|>", "bad<|im_end|>"]
    assert found.rows[2].problem == "Row s-1 has no answer to learn from. Add an assistant message."
    assert "has no answer to learn from" in printed(found)


def test_of_a_preference_only_the_last_answer_is_shown_as_trained(task: Path):
    definition = Task.load(task / "task.yaml")
    definition.with_changes(type="preference").save(task / "task.yaml")
    before = [Message("user", "a"), Message("assistant", "earlier"), Message("user", "b")]
    good, bad = Message("assistant", "good"), Message("assistant", "bad")
    pair = Example(meta=Meta("p-1", "s"), prompt=before, chosen=[good], rejected=[bad])
    marked = Example(meta=Meta("m-1", "s", label="false"), messages=[*before, bad])
    found = preview_tokens(fill(task, pair, marked))
    trained = [[run.text for run in shown.runs if run.trained] for shown in found.rows]
    assert trained == [["good<|im_end|>"], ["bad<|im_end|>"], ["bad<|im_end|>"]]
    tokenizer = local_tokenizer(definition.base_model).tokenizer
    assert [shown.trained for shown in found.rows] == [
        len(answer_ids(tokenizer, Example(meta=pair.meta, messages=[*before, said])))
        for said in (good, bad, bad)
    ]


def test_a_conversation_whose_turns_are_rewritten_is_shown_as_the_rows_that_are_trained(
    task: Path, tmp_path: Path
):
    base = save_model_folder(tmp_path / "reasoning", FAMILIES["reasoning"]())
    definition = Task.load(task / "task.yaml")
    definition.with_changes(base_model=str(base)).save(task / "task.yaml")
    found = preview_tokens(
        fill(task, row("a", "<think>\nb\n</think>\n\nc", "d", "<think>\ne\n</think>\n\nf"))
    )
    assert [shown.id for shown in found.rows] == ["s-1 (answer 1)", "s-1 (answer 2)"]
    trained = [[run.text for run in shown.runs if run.trained] for shown in found.rows]
    assert trained == [["<think>\nb</think>\n\nc<|im_end|>"], ["<think>\ne</think>\n\nf<|im_end|>"]]


def test_what_cannot_be_shown_is_said(task: Path):
    with pytest.raises(
        NotReady, match=r"cards has no data/train.jsonl yet\. Make it with: nlp-skills regenerate-data cards"
    ):
        preview_tokens(task)
    fill(task, row("a", "b"))
    with pytest.raises(NotReady, match=r"no data/test.jsonl"):
        preview_tokens(task, split="test")
    with pytest.raises(NotFound, match=r"has no row in line 5\."):
        preview_tokens(task, line=[1, 5])
    with pytest.raises(NotValid, match="rows is 0"):
        preview_tokens(task, rows=0)
    (task / "data" / "train.jsonl").write_text('{"meta": 1}\n', encoding="utf-8")
    with pytest.raises(NotValid, match=r"data/train\.jsonl:1: "):
        preview_tokens(task)


HOSTILE = st.lists(
    st.sampled_from(["<script>", "</pre>", "</mark>", "&lt;", "<|im_end|>", "<|im_start|>", "\x1b[31m", "\u202e", "\x00", "\x85", "\u2028", "[[", "👩\u200d💻", "\u3000"])
    | st.text(st.characters(codec="utf-8"), max_size=6),
    max_size=6,
).map("".join)  # fmt: skip


@settings(max_examples=60)
@given(asked=HOSTILE, said=HOSTILE, max_length=st.integers(16, 60))
def test_hostile_rows_are_shown_to_the_letter_and_do_nothing(
    smollm2: BaseModelFiles, asked: str, said: str, max_length: int
):
    tokenizer = load_tokenizer(smollm2)
    tokens = tokenize(tokenizer, row(asked, said))
    # An answer that ends inside (a literal end token) is whole here too: the last end counts.
    uncut = TokenRow(tokens.input_ids[:max_length], tokens.labels[:max_length])
    preview = TokenPreview(
        task="cards",
        file="data/train.jsonl",
        base_model="m",
        max_length=max_length,
        marks={"<|im_start|>": "begin", "<|im_end|>": "end"},
        rows=[
            previewed(tokenizer, tokens, 1, asked, max_length),
            previewed(tokenizer, uncut, 2, said, max_length),
        ],
    )
    whole, first = preview.rows
    assert whole.trained == sum(label != IGNORED for label in tokens.labels)
    assert [run for run in whole.runs if not run.cut] == first.runs
    texts = ["".join(text for _, text, _ in pieces(preview, shown)) for shown in preview.rows]
    assert texts[1] == visible(tokenizer.decode(uncut.input_ids)) or "\ufffd" in texts[1]
    page = Blocks(token_page(preview))
    assert page.texts == texts
    assert "script" not in page.tags
    terminal = printed(preview)
    assert "\x1b" not in terminal and "\u202e" not in terminal


def test_the_page_holds_no_script_and_loads_nothing(task: Path):
    found = preview_tokens(fill(task, row("<script>alert(1)</script>", "x<img src=x onerror=alert(1)>")))
    page = (task / found.page).read_text(encoding="utf-8")
    assert not {"script", "img"} & Blocks(page).tags
    assert "default-src 'none'" in page
    assert json.loads(found.model_dump_json())["page"] == str(task / "data" / "tokens.html")
