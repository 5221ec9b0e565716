"""LABEL-NOISE and TEST-LABELS: rows whose label is probably wrong.

That labels are hard to tell apart also makes a classifier contradict them. Noise is told from that by its shape:

    one label stands out     rows of it carry other labels far more often than rows of the others do
    it goes everywhere       the labels that they carry are many, where a hard pair is one
    only train has it        the same classifier contradicts the test rows far less often
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlp_skills.data.example import Example
from nlp_skills.errors import NotReady, counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import LEVEL, more_in_one, more_than_expected, show_p
from nlp_skills.evaluation.diagnosis.confident import Contradicted, contradicted, thresholds
from nlp_skills.evaluation.diagnosis.material import Material, show_example, show_prediction
from nlp_skills.evaluation.diagnosis.out_of_fold import Opinion, judge_others, kept_rows, out_of_fold
from nlp_skills.evaluation.diagnosis.record import SURE, Cause, ShownRow, Sure

if TYPE_CHECKING:
    import numpy as np

NOTICED = 0.05
"""The share of a label's rows from which on it is told."""
MUCH = 0.08
FEWEST = 3
TELLS = 0.8
"""The accuracy below which the classifier is too often wrong itself to say more than that it is worth a look."""
ONE_PARTNER = 0.6
"""The share that goes to one other label from which on it is a hard pair and no noise."""
LIKELY = 0.05
"""The level of the comparison with the test rows, where the shape speaks for noise already."""
CONFIDENT = 0.9
"""The model's own probability from which on it is believed against a test label."""


@dataclass(frozen=True)
class Suspicion:
    """A label whose rows seem to be spread over others, or the other way round."""

    label: int
    rows: int
    share: float
    """Of the rows that are surely of the label, or that have it."""
    p: float
    spread: int
    """How many labels take part on the other side."""
    top: float
    """The share of the one that takes the largest part."""
    carries_others: bool
    """Rows of this label carry other labels; otherwise rows of others carry it."""
    share_back: float
    """The share of the label's rows that go the other way."""
    share_tested: float | None
    """The same share among the test rows."""
    p_test: float
    """That train has a larger share than the test by chance."""


TOO_FEW = "too few rows or labels for a classifier that judges them"


def noisy_labels(material: Material) -> Iterator[Cause]:
    """Training labels that a classifier contradicts which has not seen the row. Raises NotReady with too few rows."""
    rows = material.train or []
    kept = [rows[n] for n in kept_rows([row.output_text for row in rows])]
    opinion = out_of_fold([row.input_text for row in kept], [row.output_text for row in kept])
    if opinion is None:
        raise NotReady(TOO_FEW)
    limits = thresholds(opinion)
    table = contradicted(opinion, limits)
    tested = _test_table(material, kept, opinion, limits)
    found = [s for s in _suspicions(table, tested) if s.rows >= FEWEST and s.share >= NOTICED and s.p < LEVEL]
    if found:
        surest = min(found, key=lambda s: (SURE.index(_sureness(s, opinion)), s.p_test, s.p))
        yield _one_label(material, kept, opinion, table, surest)
    elif len(table.rows) >= max(FEWEST, NOTICED * len(kept)):
        share = len(table.rows) / len(kept)
        yield name_cause(
            material,
            "LABEL-NOISE",
            f"A classifier that has not seen them contradicts the labels of {len(table.rows)} of {len(kept)} training rows"
            f" with confidence; no label stands out, so they may be hard and not wrong (it is right in {opinion.accuracy:.0%}).",
            "weak",
            [figure("contradicted training rows, share", share, material.train_file)],
            rows=_show(material, kept, opinion, table, None),
            share=share,
            to_read=len(table.rows),
        )


def _test_table(
    material: Material, kept: list[Example], opinion: Opinion, limits: np.ndarray
) -> Contradicted | None:
    """The same of the test rows, by the classifier trained on all training rows; None where there are none."""
    tested = [row for row in material.tested or [] if row.output_text in opinion.labels]
    found = judge_others(
        [row.input_text for row in kept],
        [row.output_text for row in kept],
        [row.input_text for row in tested],
        [row.output_text for row in tested],
    )
    return None if found is None else contradicted(found, limits)


def _suspicions(table: Contradicted, tested: Contradicted | None) -> Iterator[Suspicion]:
    """Each label on either side, against how often it happens to the others, and to the label's own test rows."""
    import numpy as np

    labels = len(table.joint)
    off = table.joint - np.diag(np.diag(table.joint))
    for carries_others, counts in ((True, off.T), (False, off)):
        # counts[k]: by the other label, the rows that are surely k and carry it (or carry k and are surely it).
        seen = counts.sum(axis=1)
        sizes = seen + np.diag(table.joint)
        back = counts.sum(axis=0) / np.maximum(1, counts.sum(axis=0) + np.diag(table.joint))
        for k in np.flatnonzero(seen).tolist():
            others = (seen.sum() - seen[k] + 0.5) / max(1, sizes.sum() - sizes[k])
            share_tested, p_test = _in_test(
                tested, k, int(seen[k]), int(sizes[k]), carries_others=carries_others
            )
            yield Suspicion(
                label=k,
                rows=int(seen[k]),
                share=float(seen[k] / sizes[k]),
                p=min(1.0, 2 * labels * more_than_expected(int(seen[k]), float(others * sizes[k]))),
                spread=int((counts[k] > 0).sum()),
                top=float(counts[k].max() / seen[k]),
                carries_others=carries_others,
                share_back=float(back[k]),
                share_tested=share_tested,
                p_test=p_test,
            )


def _in_test(
    tested: Contradicted | None, label: int, seen: int, size: int, *, carries_others: bool
) -> tuple[float | None, float]:
    """The share among the label's test rows, and the probability that train has more by chance: what is hard is hard there too."""
    if tested is None:
        return None, 1.0
    there = tested.into(label) if carries_others else tested.among(label)
    rows = there + int(tested.joint[label, label])
    return (there / rows, more_in_one(seen, size, there, rows)) if rows else (None, 1.0)


def _one_label(
    material: Material, kept: list[Example], opinion: Opinion, table: Contradicted, found: Suspicion
) -> Cause:
    label = opinion.labels[found.label]
    words = (
        f"{counted(found.rows, 'training row')} that look like {label!r} for certain carry {counted(found.spread, 'other label')}"
        if found.carries_others
        else f"{counted(found.rows, 'training row')} labelled {label!r} look like {counted(found.spread, 'other label')} for certain"
    )
    sure = _sureness(found, opinion)
    compared = (
        f" Of the test rows it is {found.share_tested:.0%} ({show_p(found.p_test)} that both are alike)."
        if found.share_tested is not None
        else ""
    )
    hard = " They may be hard to tell apart and not wrong." if sure == "weak" else ""
    return name_cause(
        material,
        "LABEL-NOISE",
        f"{words}: {found.share:.0%}, far more than of the other labels ({show_p(found.p)} by chance).{compared} A classifier that has"
        f" not seen them says so (it is right in {opinion.accuracy:.0%} of all rows).{hard}",
        sure,
        [
            figure(f"contradicted rows of {label!r}", found.rows, material.train_file),
            figure("their share", found.share, material.train_file),
            figure("other labels that they go to or come from", found.spread, material.train_file),
            figure("accuracy of the classifier, out of fold", opinion.accuracy, material.train_file),
        ],
        rows=_show(material, kept, opinion, table, found),
        share=found.share,
        to_read=found.rows,
    )


def _sureness(found: Suspicion, opinion: Opinion) -> Sure:
    """By what tells noise from a hard label; what also befalls the label's test rows stays a question.

    A hard label goes to many others too, but both ways, or away from itself only, as rare labels do.
    """
    others = len(opinion.labels) - 1
    # Of three or four rows two have the same label anyway.
    is_pair = others > 2 and found.rows >= 5 and found.top > ONE_PARTNER
    if is_pair or opinion.accuracy < TELLS:
        return "some" if found.p_test < LEVEL / (2 * len(opinion.labels)) else "weak"
    one_way = found.carries_others and found.share >= 2 * found.share_back
    everywhere = one_way and found.spread >= max(3, min(4, others))
    if found.share >= MUCH and found.p_test < (LIKELY if everywhere else LEVEL):
        return "strong"
    rare_in_test = found.share >= 2 * (found.share_tested or 0.0)
    return "some" if everywhere or found.p_test < LIKELY or (one_way and rare_in_test) else "weak"


def _show(
    material: Material,
    kept: list[Example],
    opinion: Opinion,
    table: Contradicted,
    found: Suspicion | None,
) -> list[ShownRow]:
    """The contradicted rows, the surest first; of one label where one is meant."""
    shown = []
    for row, meant in zip(table.rows.tolist(), table.meant.tolist(), strict=True):
        given = int(opinion.given[row])
        if found is None or found.label == (meant if found.carries_others else given):
            note = f"labelled {opinion.labels[given]!r}, looks like {opinion.labels[meant]!r} ({opinion.probabilities[row, meant]:.0%})"
            shown.append(show_example(material.train_file, kept[row], note))
    return shown


def noisy_test_labels(material: Material) -> Iterator[Cause]:
    """Test rows that the model contradicts with confidence, and the simple classifier with it.

    Raises NotReady where the model's confidence is not known, or there are too few rows for the classifier.
    """
    train, tested, predictions = material.train or [], material.tested or [], material.predictions or []
    known = {row.output_text for row in train}
    asked = [
        (row, said)
        for row, said in zip(tested, predictions, strict=True)
        if row.output_text in known and said.scores
    ]
    if not asked:
        raise NotReady(f"{material.predictions_file} has no probabilities of labels")
    opinion = judge_others(
        [row.input_text for row in train],
        [row.output_text for row in train],
        [row.input_text for row, _ in asked],
        [row.output_text for row, _ in asked],
    )
    if opinion is None:
        raise NotReady(TOO_FEW)
    agreed = [
        said
        for (_, said), second in zip(asked, opinion.said, strict=True)
        if said.predicted != said.expected
        and (said.scores or {}).get(said.predicted, 0.0) >= CONFIDENT
        and opinion.labels[second] == said.predicted
    ]
    wrong = len(material.wrong)
    if len(agreed) < 3 or len(agreed) < 0.02 * len(predictions):
        return
    yield name_cause(
        material,
        "TEST-LABELS",
        f"In {len(agreed)} of {counted(wrong, 'wrong row')} the model is sure of its answer ({CONFIDENT:.0%} or more) and TF-IDF"
        " says the same: the test's label may be what is wrong.",
        "some" if len(agreed) >= FEWEST and len(agreed) >= 0.3 * wrong else "weak",
        [figure("wrong test rows on which both agree", len(agreed), material.predictions_file)],
        rows=(show_prediction(material, row) for row in agreed),
        share=len(agreed) / max(1, wrong),
        to_read=len(agreed),
    )
