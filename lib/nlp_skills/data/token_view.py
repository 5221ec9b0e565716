"""What the loss sees, to be looked at: a few rows as the chat template renders them, their trained parts told apart.

preview_tokens → TokenPreview (short, for a terminal or an assistant) and data/tokens.html (every character)
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from nlp_skills.base_model import local_tokenizer
from nlp_skills.data.checks.token_faults import TokenModel, conversations
from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.sources.source import SplitName
from nlp_skills.data.text_encoder import turn_tokens
from nlp_skills.data.token_page import token_page
from nlp_skills.data.token_runs import Mark, PreviewedRow, TokenPreview, previewed
from nlp_skills.data.tokens import (
    TurnsRewritten,
    configured_max_length,
    configured_thinking,
    configured_tools_in_prompt,
    tokenize_all,
    tokenize_apart,
)
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.records import write_atomic
from nlp_skills.task.task import Task, TaskType

SEED = 13
LONGEST_RUN = 400
"""Characters of a run that the record carries; the page has all of them."""


def preview_tokens(
    task: Path, *, split: SplitName = "train", rows: int = 5, line: list[int] | None = None
) -> TokenPreview:
    """Show what the loss sees of some rows, and write data/tokens.html.

    `rows` of them are chosen with a fixed seed, the longest among them; or those of the lines `line`. Raises
    NotReady without data or where the tokenizer is not on this machine, NotFound for a line that is not there,
    NotValid for a row that cannot be read.
    """
    definition = Task.load(task / "task.yaml")
    settle_data(task)
    file = f"data/{split}.jsonl"
    if not (task / file).is_file():
        raise NotReady(f"{task.name} has no {file} yet. Make it with: nlp-skills regenerate-data {task.name}")
    model = TokenModel(local_tokenizer(definition.base_model))
    max_length = configured_max_length(task)
    chosen = _lines(task / file, line) if line else _choose(task / file, rows)
    trained = _Trained(
        definition.type is TaskType.PREFERENCE, configured_tools_in_prompt(task), configured_thinking(task)
    )
    shown = [row for number, raw in chosen for row in _rows(model, file, number, raw, max_length, trained)]
    if not line:
        shown = _with_the_longest(shown, rows)
    preview = TokenPreview(
        task=definition.name,
        file=file,
        base_model=definition.base_model,
        max_length=max_length,
        marks=_marks(model),
        notes=_notes(model),
        rows=shown,
    )
    write_atomic(task / preview.page, token_page(preview).encode("utf-8"))
    return _short(preview).model_copy(update={"page": str(task / preview.page)})


def _choose(path: Path, count: int) -> list[tuple[int, bytes]]:
    """Rows drawn by Vitter's algorithm R, then as many of the longest lines, in one pass and constant memory."""
    if count < 1:
        raise NotValid(f"rows is {count}; ask for at least one row.")
    draw = random.Random(SEED)
    drawn: list[tuple[int, bytes]] = []
    longest: list[tuple[int, int, bytes]] = []
    for seen, (number, raw) in enumerate(_raw_rows(path), start=1):
        if len(drawn) < count:
            drawn.append((number, raw))
        elif (place := draw.randrange(seen)) < count:
            drawn[place] = (number, raw)
        entry = (len(raw), -number, raw)
        if len(longest) < count:
            heapq.heappush(longest, entry)
        elif entry > longest[0]:
            heapq.heapreplace(longest, entry)
    return [*sorted(drawn), *((-number, raw) for _, number, raw in longest)]


def _with_the_longest(rows: list[PreviewedRow], count: int) -> list[PreviewedRow]:
    """The row with the most tokens and the first of the others, in the order of the file."""
    longest = max(rows, key=lambda row: row.tokens, default=None)
    lines = list(dict.fromkeys(row.line for row in rows if longest and row.line != longest.line))[: count - 1]
    kept = {*lines, *([longest.line] if longest else [])}
    shown = {(row.line, row.id): row for row in rows if row.line in kept}
    return [shown[key] for key in sorted(shown, key=lambda key: key[0])]


def _lines(path: Path, wanted: list[int]) -> list[tuple[int, bytes]]:
    found = {number: raw for number, raw in _raw_rows(path) if number in wanted}
    missing = [number for number in wanted if number not in found]
    if missing:
        raise NotFound(f"{path} has no row in line {missing[0]}. Name lines between 1 and its last.")
    return [(number, found[number]) for number in dict.fromkeys(wanted)]


def _raw_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.isspace():
                yield number, raw


class _Trained(NamedTuple):
    """What the training makes of a row."""

    judged: bool
    """Only the last answer is learned."""
    tools_in_prompt: bool
    thinking: bool | None
    """enable_thinking."""


def _rows(
    model: TokenModel, file: str, line: int, raw: bytes, max_length: int, trained: _Trained
) -> list[PreviewedRow]:
    """The line's conversation, or the two of a preference."""
    try:
        example = msgspec.json.decode(raw, type=Example)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotValid(
            f"{file}:{line}: {error}. See every such line with: nlp-skills validate-data"
        ) from None
    parts = conversations(example, judged=trained.judged)
    if trained.tools_in_prompt:
        parts = [with_prompted_tools(part) for part in parts]
    names = [example.meta.id]
    if example.messages is None:
        names = [f"{example.meta.id} ({answer})" for answer in ("chosen", "rejected")]
    rows = []
    for part, found, name in zip(
        parts, tokenize_all(model.encoder, parts, trained.thinking), names, strict=False
    ):
        if isinstance(found, TurnsRewritten):  # the training makes a row of each answer
            made = tokenize_apart(model.encoder, part, trained.thinking)
            named = [(row, f"{name} (answer {n})") for n, row in enumerate(made, start=1)]
        else:
            named = [(found, name)]
        rows += [previewed(model.tokenizer, row, line, called, max_length) for row, called in named]
    return rows


def _marks(model: TokenModel) -> dict[str, Mark]:
    bos = model.tokenizer.bos_token_id
    marks: dict[str, Mark] = {}
    for text, token in turn_tokens(model.tokenizer).items():
        marks[text] = "end" if token in model.encoder.end_tokens else "begin" if token == bos else "special"
    return marks


def _notes(model: TokenModel) -> list[str]:
    tokenizer = model.tokenizer
    notes = []
    if tokenizer.pad_token_id in model.encoder.end_tokens:
        notes.append(
            f"{tokenizer.pad_token} pads batches and ends answers. The training here masks padding by its place, so"
            " the end stays trained; a program that masks it by its token would unlearn to stop."
        )
    if model.reasoning:
        notes.append("The chat template knows reasoning (<think>); see TMPL-THINK in the validation.")
    return notes


def _short(preview: TokenPreview) -> TokenPreview:
    """The preview with the middle of long runs left out."""
    rows = [
        row.model_copy(
            update={"runs": [run.model_copy(update={"text": _without_middle(run.text)}) for run in row.runs]}
        )
        for row in preview.rows
    ]
    return preview.model_copy(update={"rows": rows})


def _without_middle(text: str) -> str:
    if len(text) <= LONGEST_RUN:
        return text
    head, tail = LONGEST_RUN * 2 // 3, LONGEST_RUN // 3
    return f"{text[:head]} […{len(text) - head - tail:,} characters…] {text[-tail:]}"
