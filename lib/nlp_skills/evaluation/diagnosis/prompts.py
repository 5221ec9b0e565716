"""PROMPT-DIFFERS: whether the test asked with the very tokens that the training had before its answers.

the trained model's own tokenizer ── renders the row ──▶ hash, number of tokens
                                                             │ equal?
predictions.jsonl ──────────────────────────────────▶ prompt_sha256, prompt_tokens
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, chat_template_sha256, load_tokenizer, local_tokenizer
from nlp_skills.data.example import Example
from nlp_skills.data.excerpt import masked
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import render
from nlp_skills.errors import NlpSkillsError, NotReady, clip, counted
from nlp_skills.evaluation.advice.rules import Evidence
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause, ShownRow
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.evaluation.results import Prediction
from nlp_skills.training.version_model import original_model

LOOKED_AT = 2_000
"""Test rows whose prompts are rendered again."""
PREVIEW = 300
"""Characters of a rendered prompt that are shown."""


@dataclass(frozen=True)
class Asked:
    """A row as the training would have asked it, beside what was asked."""

    row: Prediction
    text: str
    ids: list[int]

    @property
    def is_same(self) -> bool:
        """Whether these tokens, or this text, were given."""
        return self.row.prompt_sha256 in (prompt_hash(self.ids), prompt_hash(self.text))

    @property
    def is_shorter(self) -> bool:
        """Whether fewer tokens were given than the row has."""
        return self.row.prompt_tokens is not None and self.row.prompt_tokens < len(self.ids)


def trained_tokenizer(material: Material) -> Any:
    """The tokenizer that lies with the trained weights. Raises NotReady where they are gone."""
    folder = material.task / material.model
    if not (folder / "tokenizer_config.json").is_file():
        raise NotReady(f"the trained model is not at {material.model}")
    return load_tokenizer(BaseModelFiles(name=material.version, path=str(folder)))


def render_rows(material: Material, tokenizer: Any, examples: Sequence[Example]) -> list[str]:
    """The prompts as the training rendered them."""
    shown = [with_prompted_tools(e) if material.config.tools_in_prompt else e for e in examples]
    thinking = material.config.enable_thinking
    return [render(tokenizer, e.context, e.tools, ask=True, thinking=thinking) for e in shown]


def other_prompts(material: Material) -> Iterator[Cause]:
    """The test's prompts against the training's. Raises NotReady where neither can be told."""
    tokenizer = trained_tokenizer(material)
    pairs = list(zip(material.tested or [], material.predictions or [], strict=True))[:LOOKED_AT]
    if not any(row.prompt_sha256 or row.prompt_tokens for _, row in pairs):
        raise NotReady(f"{material.predictions_file} does not say with which prompts it was asked")
    texts = render_rows(material, tokenizer, [example for example, _ in pairs])
    ids = TextEncoder(tokenizer).encode(texts)
    asked = [Asked(row, text, own) for (_, row), text, own in zip(pairs, texts, ids, strict=True)]
    hashed = [one for one in asked if one.row.prompt_sha256]
    other = [one for one in hashed if not one.is_same]
    # What answers elsewhere may name its prompts by a text that nobody here has: then the number of tokens tells.
    if other and len(other) == len(hashed) and _tokens_agree(asked):
        other = []
    if not hashed:
        other = [one for one in asked if one.row.prompt_tokens not in (None, len(one.ids))]
    if not other:
        return
    cut = [one for one in other if one.is_shorter]
    if len(cut) == len(other) and len(other) < len(asked):
        yield _cut_prompts(material, cut, len(asked))
    else:
        yield _other_template(material, other, len(asked), chat_template_sha256(tokenizer))


def _tokens_agree(asked: list[Asked]) -> bool:
    counts = [(one.row.prompt_tokens, len(one.ids)) for one in asked]
    return all(said == made for said, made in counts)


def _cut_prompts(material: Material, cut: list[Asked], looked: int) -> Cause:
    longest = max(one.row.prompt_tokens or 0 for one in cut)
    wrong = sum(not one.row.correct for one in cut)
    return name_cause(
        material,
        "INPUT-CUT",
        f"{counted(len(cut), 'test row')} of {looked} were asked with fewer tokens than they have (at most {longest}); the"
        " others were asked whole: what answers has a window that is too small.",
        "strong",
        [
            figure("test rows whose prompt was cut", len(cut), material.predictions_file),
            figure("most tokens of a prompt that was cut", longest, material.predictions_file),
        ],
        rows=[
            show_prediction(material, one.row, f"{one.row.prompt_tokens} of {len(one.ids)} tokens")
            for one in cut
        ],
        share=wrong / max(1, len(material.wrong)),
        command="nlp-skills evaluate-version {task} --version {version}{on_split}",
    )


def _other_template(material: Material, other: list[Asked], looked: int, own: str) -> Cause:
    """The prompts are others: both renderings are shown where the template of today can be read.

    `own` is the identity of the chat template that lies with the trained weights.
    """
    first = other[0]
    evidence: list[Evidence] = [
        figure("test rows that were asked otherwise than trained", len(other), material.predictions_file),
        figure("test rows that were looked at", looked, material.predictions_file),
        figure("tokens of the first of them, as trained", len(first.ids), material.model),
    ]
    if first.row.prompt_tokens is not None:
        evidence.append(
            figure(
                "tokens of the first of them, as asked", first.row.prompt_tokens, material.predictions_file
            )
        )
    today = _template_of_today(material)
    because, hashes = _which_template(material, own, today)
    return name_cause(
        material,
        "PROMPT-DIFFERS",
        f"{counted(len(other), 'test row')} of {looked} were asked with other tokens than the training had before its"
        f" answers.{because}",
        "strong" if len(other) >= 0.05 * looked else "some",
        [*evidence, *hashes],
        rows=_preview(material, first, today),
        share=len(other) / looked,
    )


def _which_template(material: Material, own: str, today: Any | None) -> tuple[str, list[Evidence]]:
    """The template that is another one than the training's, in words and with its figures, where there is one."""
    trained = material.info.chat_template_sha256 if material.info else ""
    if trained and own != trained:
        return (
            f" The chat template in {material.model} was changed after the training: put the training's back.",
            [
                figure("chat template, trained (sha256)", trained[:16], "model_info.json"),
                figure("chat template beside the weights (sha256)", own[:16], material.model),
            ],
        )
    if today is None or chat_template_sha256(today) == own:
        return "", []
    return " The base model's chat template is not the one that the version was trained with.", [
        figure("chat template, trained (sha256)", own[:16], material.model),
        figure("chat template, today (sha256)", chat_template_sha256(today)[:16], material.config.base_model),
    ]


def _preview(material: Material, first: Asked, today: Any | None) -> list[ShownRow]:
    rows = [show_prediction(material, first.row, f"as trained: {clip(masked(first.text), PREVIEW)!r}")]
    example = next((row for row in material.tested or [] if row.meta.id == first.row.id), None)
    if today is not None and example is not None:
        text = render_rows(material, today, [example])[0]
        rows.append(
            show_prediction(material, first.row, f"by today's template: {clip(masked(text), PREVIEW)!r}")
        )
    return rows


def _template_of_today(material: Material) -> Any | None:
    """The base model's tokenizer as it is now; None where it is not on this machine."""
    name, revision = original_model(material.task, material.config.base_model, material.config.base_revision)
    try:
        return local_tokenizer(name, revision).tokenizer
    except NlpSkillsError:
        return None


def changed_template(material: Material) -> Iterator[Cause]:
    """The base model's chat template is another than when the version was trained, whatever was asked so far."""
    info, today = material.info, _template_of_today(material)
    if today is None:
        raise NotReady(f"the tokenizer of {material.config.base_model} is not on this machine")
    if info is None or chat_template_sha256(today) == info.chat_template_sha256:
        return
    yield name_cause(
        material,
        "PROMPT-DIFFERS",
        f"The chat template of {Path(material.config.base_model).name} has changed since {material.version} was trained:"
        " what is tested or served with it now is asked in other words.",
        "some",
        [
            figure("chat template, trained (sha256)", info.chat_template_sha256[:16], "model_info.json"),
            figure(
                "chat template, today (sha256)", chat_template_sha256(today)[:16], material.config.base_model
            ),
        ],
    )
