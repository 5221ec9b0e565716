"""LENGTH-EFFECT and LANGUAGE-EFFECT: whether what goes wrong is longer, shorter, or of another language, beyond chance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median

from nlp_skills.data.language import detect_language
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import LEVEL, higher, more_in_one, show_p
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause

FEWEST = 10
"""Rows of each kind that a test needs."""
TELLING = 0.1
"""How far from one half the share of pairs has to be in which the wrong row is the longer one."""


def length_effect(material: Material) -> Iterator[Cause]:
    """Wrong rows against right ones by the characters of their input (Mann-Whitney). Raises NotReady with too few."""
    rows = material.predictions or []
    wrong = [len(row.input) for row in rows if not row.correct]
    right = [len(row.input) for row in rows if row.correct]
    if min(len(wrong), len(right)) < FEWEST:
        raise NotReady(f"{len(wrong)} rows are wrong and {len(right)} right; {FEWEST} of each are needed")
    share, p = higher(wrong, right)
    if p > LEVEL or abs(share - 0.5) < TELLING:
        return
    longer = share > 0.5
    order = sorted(material.wrong, key=lambda row: len(row.input), reverse=longer)
    yield name_cause(
        material,
        "LENGTH-EFFECT",
        f"Wrong rows are {'longer' if longer else 'shorter'}: {median(wrong):.0f} characters in the middle against"
        f" {median(right):.0f} of the right ones ({show_p(p)} by chance).",
        "some",
        [
            figure("characters of the wrong rows (median)", float(median(wrong)), material.predictions_file),
            figure("characters of the right rows (median)", float(median(right)), material.predictions_file),
            figure("pairs in which the wrong row is longer, share", share, material.predictions_file),
        ],
        rows=(show_prediction(material, row) for row in order),
        share=2 * abs(share - 0.5),
    )


def language_effect(material: Material) -> Iterator[Cause]:
    """Each language against the others, by the share of wrong rows.

    Raises MissingExtra without py3langid, NotReady where the rows are of one language.
    """
    rows = material.predictions or []
    by_language: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        language = row.slices.get("language") or detect_language(row.input)
        if language:
            by_language[language].append(number)
    kinds = {language: found for language, found in by_language.items() if len(found) >= FEWEST}
    if len(kinds) < 2:
        raise NotReady(f"no two languages have {FEWEST} test rows or more")
    total, wrong = sum(map(len, kinds.values())), {n for n, row in enumerate(rows) if not row.correct}
    known = {n for found in kinds.values() for n in found}
    for language, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        hits, others = len(wrong.intersection(found)), len(wrong & known.difference(found))
        p = min(1.0, len(kinds) * more_in_one(hits, len(found), others, total - len(found)))
        if p > LEVEL:
            continue
        yield name_cause(
            material,
            "LANGUAGE-EFFECT",
            f"{hits} of {len(found)} rows in {language} are wrong, of the other rows {others} of {total - len(found)}"
            f" ({show_p(p)} by chance).",
            "some",
            [
                figure(f"rows in {language}", len(found), material.predictions_file),
                figure("of them wrong, share", hits / len(found), material.predictions_file),
                figure(
                    "of the others wrong, share",
                    others / max(1, total - len(found)),
                    material.predictions_file,
                ),
            ],
            rows=(show_prediction(material, rows[n]) for n in found if n in wrong),
            share=hits / max(1, len(wrong)),
        )
