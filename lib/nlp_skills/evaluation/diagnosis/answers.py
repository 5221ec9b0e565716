"""What the answers look like, before it is asked whether they are right: their form, their end, and which they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nlp_skills.data.excerpt import ending
from nlp_skills.errors import NotReady, counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import LEVEL, more_in_one, more_than_expected, show_p
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause
from nlp_skills.evaluation.metrics.answers import normal
from nlp_skills.evaluation.results import Prediction

NOTICED = 0.02
MANY = 0.2
"""The share from which on the form of the answers is a fault of the evaluation (EVAL-SANE)."""
FEWEST = 5
BETTER_SWAPPED = 1.5
"""Times as many right answers, were the labels exchanged."""


def answers_in_another_form(material: Material) -> Iterator[Cause]:
    """ANSWER-FORM and NO-END: wrong answers that are the right one in other letters, or begin with it and go on."""
    wrong = material.wrong
    form = [row for row in wrong if _is_another_form(row)]
    on = [row for row in wrong if _goes_on(row) and not _is_another_form(row)]
    for id, rows, words in (
        ("ANSWER-FORM", form, "are right but for case, blanks and punctuation"),
        ("NO-END", on, "begin with the right answer and go on"),
    ):
        share = len(rows) / max(1, len(wrong))
        if len(rows) >= max(FEWEST, NOTICED * len(material.predictions or [])):
            yield name_cause(
                material,
                id,
                f"{counted(len(rows), 'wrong answer')} of {len(wrong)} {words}.",
                "strong" if share >= MANY else "some",
                [figure(f"wrong answers that {words}", len(rows), material.predictions_file)],
                rows=(show_prediction(material, row) for row in rows),
                share=share,
            )


def _is_another_form(row: Prediction) -> bool:
    return normal(row.predicted) == normal(row.expected) != ""


def _goes_on(row: Prediction) -> bool:
    """The right answer first, whole: the next character is no letter of the same word."""
    said, wanted = row.predicted.strip(), row.expected.strip()
    after = said[len(wanted) : len(wanted) + 1]
    return (
        bool(wanted) and said.startswith(wanted) and after != "" and not (after.isalnum() and after.isascii())
    )


def answers_that_were_cut(material: Material) -> Iterator[Cause]:
    """ANSWER-CUT: answers that ran into their limit of tokens."""
    rows = material.predictions or []
    cut = [row for row in rows if row.cut]
    if len(cut) < max(FEWEST, NOTICED * len(rows)):
        return
    wrong, others = sum(not row.correct for row in cut), [row for row in rows if not row.cut]
    p = more_in_one(wrong, len(cut), sum(not row.correct for row in others), len(others)) if others else 1.0
    share = len(cut) / len(rows)
    limit = (material.results.generation if material.results else {}).get("max_new_tokens", "the limit")
    compared = (
        f"; {wrong / len(cut):.0%} of them are wrong, of the others {sum(not r.correct for r in others) / len(others):.0%} ({show_p(p)})"
        if others
        else ""
    )
    yield name_cause(
        material,
        "ANSWER-CUT",
        f"{counted(len(cut), 'answer')} ({share:.0%}) ran into {limit} tokens without an end{compared}.",
        "strong" if share >= MANY or p < LEVEL / 10 else "some",
        [
            figure("answers that were cut", len(cut), material.predictions_file),
            figure("of them wrong", wrong / len(cut), material.predictions_file),
        ],
        rows=(show_prediction(material, row, f"ends: …{ending(row.predicted, 60)!r}") for row in cut),
        share=wrong / max(1, len(material.wrong)),
    )


def swapped_labels(material: Material) -> Iterator[Cause]:
    """LABELS-SWAPPED: read with its labels exchanged, the model is far better: a mapping went wrong somewhere."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    rows = material.predictions or []
    said = Counter(row.predicted for row in rows)
    # What is answered but rarely stands for no label: of free text there are as many kinds as rows.
    labels = sorted({row.expected for row in rows} | {label for label, n in said.items() if n >= FEWEST})
    place = {label: n for n, label in enumerate(labels)}
    table = np.zeros((len(labels),) * 2)
    for row in rows:
        if row.predicted in place:
            table[place[row.expected], place[row.predicted]] += 1
    expected, predicted = linear_sum_assignment(-table)
    swapped = {
        labels[a]: labels[b] for a, b in zip(expected, predicted, strict=True) if a != b and table[a, b]
    }
    right, could = float(np.trace(table)), float(table[expected, predicted].sum())
    moved = sum(row.predicted == swapped.get(row.expected) for row in rows)
    if (
        not swapped
        or could < BETTER_SWAPPED * right
        or moved < max(FEWEST, MANY * len(rows))
        or could < 0.6 * len(rows)
    ):
        return
    told = ", ".join(f"{a!r} is answered {b!r}" for a, b in list(swapped.items())[:4])
    yield name_cause(
        material,
        "LABELS-SWAPPED",
        f"{right / len(rows):.0%} of the rows are right; read with labels exchanged it would be {could / len(rows):.0%} ({told}).",
        "strong",
        [
            figure("right as they are", right / len(rows), material.predictions_file),
            figure("right with labels exchanged", could / len(rows), material.predictions_file),
        ],
        rows=(show_prediction(material, row) for row in rows if row.predicted == swapped.get(row.expected)),
        share=moved / max(1, len(material.wrong)),
    )


def one_answer(material: Material) -> Iterator[Cause]:
    """ONE-ANSWER and NEVER-PREDICTED: what is answered, against what is expected."""
    rows = material.predictions or []
    said, expected = (Counter(row.predicted for row in rows), Counter(row.expected for row in rows))
    ((top, count),) = said.most_common(1)
    more = f"{2 * material.config.epochs:g}"
    if len(expected) > 1 and count >= 0.95 * len(rows) and count > 1.2 * expected[top]:
        yield name_cause(
            material,
            "ONE-ANSWER",
            f"{top!r} is the answer to {count} of {len(rows)} rows, and {expected[top]} expect it.",
            "strong",
            [figure(f"rows answered {top!r}", count, material.predictions_file)],
            rows=(show_prediction(material, row) for row in material.wrong),
            share=sum(row.predicted == top for row in material.wrong) / max(1, len(material.wrong)),
            more_epochs=more,
        )
        return
    trained = {row.output_text for row in material.train} if material.train is not None else None
    never = {
        label: n
        for label, n in expected.items()
        if not said[label] and n >= FEWEST and (trained is None or label in trained)
    }
    if never:
        total = sum(never.values())
        names = ", ".join(f"{label!r} ({counted(n, 'row')})" for label, n in Counter(never).most_common(5))
        counts = material.snapshot.splits["train"].label_counts
        yield name_cause(
            material,
            "NEVER-PREDICTED",
            f"{names} {'is' if len(never) == 1 else 'are'} never the answer.",
            "strong" if max(never.values()) >= 2 * FEWEST else "some",
            [
                figure(f"training rows of {label!r}", counts[label], "data_snapshot.json")
                if label in counts
                else figure(f"test rows of {label!r}", never[label], material.predictions_file)
                for label in list(never)[:5]
            ],
            rows=(show_prediction(material, row) for row in rows if row.expected in never),
            share=total / max(1, len(material.wrong)),
        )


def confused_pairs(material: Material) -> Iterator[Cause]:
    """CONFUSED-PAIR: labels that are taken for each other more often than for others. Raises NotReady with one pair."""
    wrong = material.wrong
    pairs = Counter(frozenset((row.expected, row.predicted)) for row in wrong)
    labels = {row.expected for row in material.predictions or []}
    if len(labels) < 3:
        raise NotReady("with fewer than three labels there is no other pair to compare with")
    if not pairs:
        return
    possible = len(labels) * (len(labels) - 1) / 2
    ((pair, count),) = pairs.most_common(1)
    a, b = sorted(pair) if len(pair) == 2 else [*pair, *pair]
    p = min(1.0, possible * more_than_expected(count, len(wrong) / possible))
    if count < FEWEST or p > LEVEL:
        return
    rows = [row for row in wrong if {row.expected, row.predicted} == set(pair)]
    yield name_cause(
        material,
        "CONFUSED-PAIR",
        f"{a!r} and {b!r} are taken for each other in {count} of {len(wrong)} wrong rows ({show_p(p)} by chance).",
        "some",
        [
            figure(
                f"{a!r} answered {b!r}", sum(row.expected == a for row in rows), material.predictions_file
            ),
            figure(
                f"{b!r} answered {a!r}", sum(row.expected == b for row in rows), material.predictions_file
            ),
        ],
        rows=(show_prediction(material, row) for row in rows),
        share=count / len(wrong),
        to_read=count,
    )
