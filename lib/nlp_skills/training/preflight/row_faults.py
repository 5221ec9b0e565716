"""What is wrong with the very rows that a run will train on, as tokens (P02 to P06, P17).

    a row of the method ──▶ the conversations that it holds, each with ids and labels ──▶ faults

The kinds of fault are those of data/checks/token_faults.py; here they are looked for in what the trainer gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.checks.token_faults import TokenModel, conversations, faults, tallies
from nlp_skills.data.example import Example
from nlp_skills.data.report import Finding
from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.records import Record
from nlp_skills.training.compact_rows import lengths_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.ladder import LongestRows, longest_rows
from nlp_skills.training.preflight.rows import SplitRows

WITHOUT_TEMPLATE = ("cpt",)
ANSWERED = ("sft", "dpo", "orpo", "kto")
"""Methods whose rows hold the answers that are learned."""


class RowFacts(Record):
    """The training rows in numbers."""

    rows: int
    tokens: int
    trained: int
    """Tokens that the loss sees."""
    ended: int
    """Answers whose end token is trained."""
    answers: int
    most_bos: int
    """BOS tokens at the beginning of a row, at most."""
    longest: LongestRows | None = None


def row_findings(
    model: TokenModel, config: TrainConfig, splits: dict[str, SplitRows]
) -> tuple[list[Finding], RowFacts]:
    """The faults of all splits, and the training rows in numbers."""
    found = {**tallies(), **_own_tallies(config.max_length)}
    for split, rows in splits.items():
        for line, example, row in _viewed(config, rows):
            _look(model, config, f"data/{split}.jsonl", line, example, row, found)
    findings = [finding for tally in found.values() for finding in tally.findings()]
    facts, texts = _facts(model, splits["train"].rows), 0
    if config.method == "cpt":
        texts = sum(1 for _ in splits["train"].examples)
    cut = cut_findings(config, texts, facts.longest.longest if facts.longest else 0, facts.rows)
    return [*findings, *cut, *_tokenizer(model, config)], facts


def validation_findings(rows: int) -> Iterator[Finding]:
    """RUN-OVERFIT: without validation rows nobody sees when a run begins to learn its rows by heart (P11)."""
    if not rows:
        yield Finding(
            check="RUN-OVERFIT",
            level="warning",
            message="There are no validation rows: nobody will see when the training rows are learned by heart, and no"
            " checkpoint can be chosen.",
            count=0,
            fix="Set split.valid in data_source.yaml, then run: nlp-skills regenerate-data TASK",
        )


def cut_findings(config: TrainConfig, texts: int, longest: int, pieces: int) -> Iterator[Finding]:
    """LEN-CUT of plain text: texts beyond max_length are learned in pieces, and no piece sees the one before it."""
    if config.method == "cpt" and pieces > texts:
        yield Finding(
            check="LEN-CUT",
            level="warning",
            message=f"{texts:,} texts are learned in {pieces:,} pieces of up to {longest:,} tokens (max_length"
            f" {config.max_length:,}): what a piece begins with is learned without the text before it.",
            count=pieces - texts,
            fix="Raise max_length where the memory allows it, or divide the texts where their sections end",
        )


def _own_tallies(max_length: int) -> dict[str, Tally]:
    return {
        "nothing trained": Tally(
            "MASK-EMPTY",
            "error",
            "All labels are masked, or nothing but the end of the answer is trained: {rows}. The loss would be zero, or"
            " teach silence.",
            "Look at them with: nlp-skills preview-tokens TASK. Take a base_model whose chat template writes the answers,"
            " or give the answers a weight",
        ),
        "prompt labelled": Tally(
            "MASK-RATIO",
            "error",
            "The prompt is trained with the answer: {rows}.",
            "Take a base_model whose chat template has a generation prompt, or set assistant_only_loss: false if it is meant",
        ),
        "no end": Tally(
            "TOK-EOS",
            "error",
            "The last trained token is no end token, so the model would not learn to stop: {rows}.",
            "Take a base_model whose chat template ends an answer",
        ),
        "too long": Tally(
            "LEN-CUT",
            "error",
            f"Longer than max_length {max_length:,}, or than the base model can look back: {{rows}}.",
            "Shorten the rows, raise max_length, or take a base_model with a longer context",
        ),
    }


def _viewed(config: TrainConfig, split: SplitRows) -> Iterator[tuple[int, Example | None, TokenRow]]:
    """(line, conversation where it is known, its tokens) for all that a split trains on."""
    counted = sum(len(_parts(config, example)) for example in split.examples)
    views = (view for row in split.rows for view in _token_rows(row))
    if counted == sum(map(_views, split.rows)):
        parts = (
            (line, part) for line, example in enumerate(split.examples, 1) for part in _parts(config, example)
        )
        yield from ((line, part, view) for (line, part), view in zip(parts, views, strict=True))
    else:  # several rows of one conversation, or pieces of one text
        yield from ((0, None, view) for view in views)


def _views(row: Any) -> int:
    return 2 if hasattr(row, "chosen_ids") else 1


def _parts(config: TrainConfig, example: Example) -> list[Example]:
    judged = config.method == "kto"
    return conversations(example, judged=judged) if config.method in ANSWERED else [example]


def _token_rows(row: Any) -> list[TokenRow]:
    """A method's row as ids and labels: of a pair both answers, of a prompt alone no label."""
    if isinstance(row, TokenRow):
        return [row]
    answers = [
        getattr(row, name) for name in ("chosen_ids", "rejected_ids", "completion_ids") if hasattr(row, name)
    ]
    prompt = row.prompt_ids
    return [TokenRow([*prompt, *ids], [IGNORED] * len(prompt) + list(ids)) for ids in answers or [[]]]


def _look(
    model: TokenModel,
    config: TrainConfig,
    file: str,
    line: int,
    example: Example | None,
    row: TokenRow,
    found: dict[str, Tally],
) -> None:
    text = example.input_text if example is not None and example.messages else ""
    if row.length > min(config.max_length, model.local.positions or config.max_length):
        found["too long"].add(file, line, f"{row.length:,} tokens: {text}")
    if config.method in WITHOUT_TEMPLATE:
        return
    if config.method in ANSWERED:
        for kind in _label_faults(model, config, row):
            found[kind].add(file, line, text)
    if example is not None and example.messages is not None:
        for kind, told in faults(model, example, row):
            if config.method in ANSWERED or kind in ("two beginnings", "no beginning"):
                found[kind].add(file, line, told)


def _label_faults(model: TokenModel, config: TrainConfig, row: TokenRow) -> Iterator[str]:
    learned = [label for label in row.labels if label != IGNORED]
    ends = model.encoder.end_tokens
    if not any(label not in ends for label in learned):
        yield "nothing trained"
    elif config.assistant_only_loss and len(learned) == row.length:
        yield "prompt labelled"
    if learned and config.assistant_only_loss and learned[-1] not in ends:
        yield "no end"


def _tokenizer(model: TokenModel, config: TrainConfig) -> Iterator[Finding]:
    """What holds for the tokenizer whatever the rows are."""
    pad = model.tokenizer.pad_token_id
    if pad is not None and pad in model.encoder.end_tokens and config.method in ANSWERED:
        yield Finding(
            check="TOK-EOS",
            level="info",
            message=f"The pad token {model.tokenizer.pad_token} is also an end token. Here batches are masked by place, so the"
            " ends of answers are trained all the same; programs that mask every pad token would untrain them.",
            count=0,
            fix="Nothing to do here; elsewhere choose another pad token",
        )
    if model.reasoning and config.enable_thinking is None and config.method not in WITHOUT_TEMPLATE:
        yield Finding(
            check="TMPL-THINK",
            level="info",
            message="The chat template has a thinking mode and enable_thinking is not set: the template's own default holds in"
            " training and evaluation; other servers may have another.",
            count=0,
            fix="Decide for one: nlp-skills create-version TASK --settings enable_thinking=false",
        )


def _facts(model: TokenModel, rows: Sequence[Any]) -> RowFacts:
    bos, ends = model.tokenizer.bos_token_id, model.encoder.end_tokens
    tokens = trained = ended = answers = most = 0
    for view in (view for row in rows for view in _token_rows(row)):
        learned = view.trained
        tokens, trained = tokens + view.length, trained + learned
        ended += any(label in ends for label in view.labels[-1:])
        answers += learned > 0
        most = max(most, _leading(view.input_ids, bos))
    return RowFacts(
        rows=len(rows),
        tokens=tokens,
        trained=trained,
        ended=ended,
        answers=answers,
        most_bos=most,
        longest=longest_rows(lengths_of(rows)),
    )


def _leading(ids: Sequence[int], token: int | None) -> int:
    count = 0
    while token is not None and count < len(ids) and ids[count] == token:
        count += 1
    return count
