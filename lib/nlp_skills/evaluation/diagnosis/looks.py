"""LOOKS: everything that is looked at, with what it needs. Another look is another row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nlp_skills.evaluation.diagnosis import (
    answers,
    clusters,
    cut_inputs,
    effects,
    harness,
    label_noise,
    leak,
    loss_curve,
    more_rows,
    prompts,
    rows,
)
from nlp_skills.evaluation.diagnosis.material import Material
from nlp_skills.evaluation.diagnosis.record import LEAK_LOOK, Cause


def has_labels(material: Material) -> bool:
    """Whether the answers are labels."""
    return material.definition.type.has_labels


def always(_material: Material) -> bool:
    """For whatever task there is."""
    return True


@dataclass(frozen=True)
class Look:
    """One question to the records."""

    what: str
    """As it is told where it was not found, or not looked at."""
    look: Callable[[Material], Iterable[Cause]]
    """Raises an error of the library where it cannot say anything: its words are the reason."""
    needs: tuple[str, ...] = ()
    """Fields of Material that have to be there."""
    applies: Callable[[Material], bool] = always


BOTH = ("tested", "predictions")

LOOKS: tuple[Look, ...] = (
    Look("prompts other than the training's", prompts.other_prompts, (*BOTH, "info")),
    Look("a chat template that has changed", prompts.changed_template, ("info",)),
    Look("known answers that are not known", harness.insane_answers, ("results",)),
    Look(
        "a test that costs more than the validation",
        harness.test_against_validation,
        (*BOTH, "metrics", "info"),
        has_labels,
    ),
    Look("right answers in another form, or that go on", answers.answers_in_another_form, ("predictions",)),
    Look("answers that ran into their limit", answers.answers_that_were_cut, ("predictions",)),
    Look("labels that stand for each other", answers.swapped_labels, ("predictions",), has_labels),
    Look("a run that failed", loss_curve.failed_run, ("job",)),
    Look(LEAK_LOOK, leak.leaked_rows, (*BOTH, "train")),
    Look("labels without a training row", rows.labels_without_rows, ("predictions", "train"), has_labels),
    Look("training rows with wrong labels", label_noise.noisy_labels, ("train",), has_labels),
    Look("test rows with wrong labels", label_noise.noisy_test_labels, ("train", *BOTH), has_labels),
    Look("inputs that are cut off", cut_inputs.cut_inputs, ("train", *BOTH)),
    Look("faults that the checks of the data find", rows.faults_of_rows, ("report",)),
    Look("too few rows", rows.few_rows),
    Look("too few test rows", rows.few_test_rows, ("predictions",)),
    Look("a loss that rose", loss_curve.diverged, ("metrics",)),
    Look("a loss that did not fall", loss_curve.flat, ("metrics",)),
    Look("rows that were learned by heart", loss_curve.learned_by_heart, ("metrics",)),
    Look("a validation loss that still fell", loss_curve.still_falling, ("metrics",)),
    Look("whether more rows would help", more_rows.more_rows),
    Look(
        "a model that is no better than the prompted base model or the most frequent answer",
        harness.not_learned,
        ("results",),
    ),
    Look(
        "one answer to everything, or labels that are never one",
        answers.one_answer,
        ("predictions",),
        has_labels,
    ),
    Look("labels that are taken for each other", answers.confused_pairs, ("predictions",), has_labels),
    Look("words that wrong rows have in common", clusters.error_clusters, ("predictions",)),
    Look("wrong rows that are longer or shorter", effects.length_effect, ("predictions",)),
    Look("wrong rows in one language", effects.language_effect, ("predictions",)),
)
