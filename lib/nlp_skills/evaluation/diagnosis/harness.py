"""HARNESS and NOT-LEARNED: whether the test measures the model that was trained.

known answers      what evaluate_version asked of training rows before it was believed (sane.py)
two paths, one figure   the training measured a loss on data/valid.jsonl; the evaluation's way of asking has to
                        give the same loss on the same rows (with `probe`), and like losses on like rows
the baselines      a tuned model below the most frequent answer
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from nlp_skills.base_model import require_training
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.tokens import answer_ids
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.material import Material, show_example, show_prediction
from nlp_skills.evaluation.diagnosis.prompts import trained_tokenizer
from nlp_skills.evaluation.diagnosis.record import Cause
from nlp_skills.evaluation.figures import show_signed, show_value
from nlp_skills.evaluation.predictors.predictor import Predictor
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.verdict import baseline_name
from nlp_skills.records import sha256_file

AGREE = 0.1
"""Nats for a token by which two measurements of one loss may differ (their precision and padding differ)."""
APART = 0.5
"""The same between like rows, test and validation."""
ROWS = 64
"""Validation rows that a probe asks."""
LEAST_PROBABLE = 1e-12


def insane_answers(material: Material) -> Iterator[Cause]:
    """What the evaluation's own known-answer probe has said."""
    results = material.results
    sane = results.sane if results else None
    if sane is None:
        raise NotReady(
            f"{material.results_file} has no known-answer probe: nlp-skills evaluate-version {material.name}"
            f" --version {material.version}{material.on_split}"
        )
    if sane.verdict == "harness error":
        yield name_cause(
            material,
            "HARNESS",
            sane.reason,
            "strong" if sane.known and not sane.known_right else "some",
            [
                figure("training rows that were asked", sane.known, material.results_file),
                figure("of them right", sane.known_right, material.results_file),
                figure("answers that cannot be read, share", sane.unreadable, material.results_file),
            ],
            rows=(show_prediction(material, row) for row in material.wrong),
            share=1.0,
        )


def kept_loss(material: Material) -> tuple[float, float]:
    """The validation loss of the model that was kept, in nats a token, and its standard error (0 where unknown).

    Raises NotReady where there is none that an answer's probability can be compared with.
    """
    if material.config.method != "sft" or not material.config.assistant_only_loss:
        raise NotReady(f"the loss of {material.config.method} is not that of the answers alone")
    looks = [row for row in material.metrics or [] if "eval_loss" in row]
    kept = material.job.kept_step if material.job else None
    found = next((row for row in looks if row["step"] == kept), looks[-1] if looks else None)
    if found is None:
        raise NotReady(f"{material.metrics_file} has no validation loss")
    return float(found["eval_loss"]), float(found.get("eval_loss_se", 0.0))


def test_against_validation(material: Material) -> Iterator[Cause]:
    """The answers' probabilities in the test, against the validation loss: like rows have like losses.

    Of labels that were scored; their probabilities are shares among the labels, so the true loss is larger still.
    """
    loss, error = kept_loss(material)
    scored = [
        (example, row)
        for example, row in zip(material.tested or [], material.predictions or [], strict=True)
        if row.scores and row.expected in row.scores
    ]
    if len(scored) < 10:
        raise NotReady("too few test rows have probabilities of their labels")
    tokenizer = trained_tokenizer(material)
    thinking = material.config.enable_thinking
    tokens = sum(len(answer_ids(tokenizer, example, thinking)) for example, _ in scored)
    losses = [-math.log(max(LEAST_PROBABLE, _own_score(row))) for _, row in scored]
    tested = sum(losses) / tokens
    noise = stdev(losses) * len(losses) / tokens / math.sqrt(len(losses))
    if tested - loss <= APART + 2 * (noise + error):
        return
    yield name_cause(
        material,
        "HARNESS",
        f"In the test a token of a right answer costs {tested:.2f} nats at least, in the validation during the training"
        f" {loss:.2f}: the test rows are of another kind, or they are asked otherwise.",
        "some",
        [
            figure("loss a token in the test (lower end)", tested, material.predictions_file),
            figure("validation loss of the training", loss, material.metrics_file),
        ],
        rows=(show_prediction(material, row) for row in material.wrong),
        share=1.0,
    )


def _own_score(row: Prediction) -> float:
    return (row.scores or {})[row.expected]


def probe_rows(material: Material) -> list[Example]:
    """The validation rows that a probe asks. Raises NotReady where they are not those that the training measured."""
    known = material.snapshot.splits.get("valid")
    file = material.task / "data" / "valid.jsonl"
    if known is None or not known.count:
        raise NotReady("the version has no validation rows")
    if not file.is_file() or sha256_file(file) != known.sha256:
        raise NotReady("data/valid.jsonl is not the file that the version was made for")
    return list(read_examples(file))[:ROWS]


def probe_known_loss(material: Material, predictor: Predictor) -> Iterator[Cause]:
    """The known-answer probe: validation rows through the evaluation's own way, against what the training measured.

    Raises NotReady where the training's figure is not there, NotValid where the predictor gives no probabilities.
    """
    require_training()
    loss, error = kept_loss(material)
    rows = probe_rows(material)
    tokenizer = trained_tokenizer(material)
    scored = predictor.score_choices(rows, [[row.output_text] for row in rows])
    tokens = [len(answer_ids(tokenizer, row, material.config.enable_thinking)) for row in rows]
    each = [-found[0] / count for found, count in zip(scored, tokens, strict=True)]
    measured = -sum(found[0] for found in scored) / sum(tokens)
    every = len(rows) == material.snapshot.splits["valid"].count
    # Of a part of the rows, the loss may differ by as much as parts differ.
    noise = AGREE + (0.0 if every else 3 * (error + _error(each)))
    if abs(measured - loss) <= noise:
        return
    worst = sorted(range(len(rows)), key=lambda n: -each[n])
    yield name_cause(
        material,
        "HARNESS",
        f"{len(rows)} validation rows, asked as the test asks, cost {measured:.2f} nats a token; the training measured"
        f" {loss:.2f} on them with the same weights. One of the two asks otherwise.",
        "strong",
        [
            figure("loss a token, asked as the test asks", measured, "data/valid.jsonl"),
            figure("validation loss of the training", loss, material.metrics_file),
        ],
        rows=(show_example("data/valid.jsonl", rows[n], f"{each[n]:.2f} nats a token") for n in worst),
        share=1.0,
    )


def _error(values: Sequence[float]) -> float:
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else fmean(values)


def not_learned(material: Material) -> Iterator[Cause]:
    """NOT-LEARNED: the tuned model is no better than the prompted base model or the most frequent answer.

    Raises NotReady where one of them was not measured and the other does not explain the score.
    """
    results = material.results
    name = (results.metric if results else None) or material.definition.chosen_metric
    if results is None or name not in results.metrics:
        raise NotReady(f"{material.results_file} has no {name}")
    more = f"{2 * material.config.epochs:g}"
    asked = ("majority", "prompted_base") if material.definition.type.has_labels else ("prompted_base",)
    missing = []
    for baseline in asked:
        words, found = baseline_name(baseline), results.baseline.get(baseline)
        if found is None or found.gain is None:
            missing.append(words)
            continue
        if found.gain.low > 0:
            continue
        yield name_cause(
            material,
            "NOT-LEARNED",
            f"{name} is {show_value(results.metrics[name].value)}, and {words} reaches"
            f" {show_value(found.metrics[name].value)}; the difference is {show_signed(found.gain)}.",
            "some" if found.gain.high < 0.02 else "weak",
            [
                figure(f"{name}, tuned", results.metrics[name].value, material.results_file),
                figure(f"{name}, {words}", found.metrics[name].value, material.results_file),
            ],
            more_epochs=more,
        )
        return
    if missing:
        raise NotReady(
            f"{material.results_file} does not compare {name} with {' and '.join(missing)}: nlp-skills evaluate-version"
            f" {material.name} --version {material.version}{material.on_split}"
        )
