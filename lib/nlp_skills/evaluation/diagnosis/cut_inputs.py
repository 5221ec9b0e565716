"""INPUT-CUT: texts that end where a limit was and not where they end.

Whole texts have all lengths, and few have exactly the greatest. Where many do, a limit cut them: a column of fixed
width, a preview, a context window. That people wrote up to a limit (a tweet) is told by their last character: who
writes to a limit still ends the sentence, who is cut does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nlp_skills.data.excerpt import ending
from nlp_skills.errors import counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import more_in_one, more_than_expected, show_p
from nlp_skills.evaluation.diagnosis.material import Material, show_example, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause, ShownRow, Sure

CERTAIN = 1e-6
FEWEST = 5
NOTICED = 0.02
"""The share of the rows at the limit from which on it is told."""
MOSTLY = 0.2
"""The share at one length that no natural text has."""
_ENDS = tuple(".!?…。！？」』”\"')）]】:：;；~")


@dataclass(frozen=True)
class Limit:
    """A length at which texts pile up."""

    unit: str
    length: int
    rows: list[int]
    """Numbers of the texts that end there."""
    expected: float
    """Texts that would end there by their own."""
    p: float


def find_limit(texts: Sequence[str]) -> Limit | None:
    """The length, in characters, bytes or words, at which far more texts end than near it; None where there is none."""
    units = {
        "characters": [len(text) for text in texts],
        "bytes": [len(text.encode()) for text in texts],
        "words": [len(text.split()) for text in texts],
    }
    found = [limit for unit, lengths in units.items() if (limit := _pile(unit, lengths))]
    return min(found, key=lambda limit: (limit.p, -len(limit.rows)), default=None)


def _pile(unit: str, lengths: list[int]) -> Limit | None:
    """The greatest length, against how many end in the fifth below it; one less counts too: a blank at the end goes."""
    greatest = max(lengths, default=0)
    slack = 0 if unit == "words" else 1
    if greatest < 4:
        return None
    at = [number for number, length in enumerate(lengths) if length >= greatest - slack]
    below = range(max(1, greatest * 4 // 5), greatest - slack)
    counts = Counter(lengths)
    # Half a row more, so that an empty fifth expects something.
    density = (sum(counts[length] for length in below) + 0.5) / max(1, len(below))
    expected = density * (1 + slack)
    p = more_than_expected(len(at), expected)
    if len(at) < max(FEWEST, NOTICED * len(lengths)) or len(at) < 3 * expected or p > CERTAIN:
        return None
    return Limit(unit, greatest, at, expected, p)


def cut_inputs(material: Material) -> Iterator[Cause]:
    """Inputs of the test and of the training that pile up at a length, and test inputs that are shorter than their row."""
    yield from _shorter_than_their_row(material)
    predictions, train = material.predictions or [], material.train or []
    asked = [row.input for row in predictions]
    learned = [row.input_text for row in train]
    limit, trained = find_limit(asked), find_limit(learned)
    if limit is not None:
        rows = (
            show_prediction(material, predictions[n], f"ends: …{ending(asked[n], 30)!r}") for n in limit.rows
        )
        wrong = sum(not predictions[n].correct for n in limit.rows)
        share = wrong / max(1, len(material.wrong))
        also = (
            f" The training rows are cut at {trained.length} {trained.unit} too."
            if trained is not None
            else f" The training rows are not (the longest has {max(map(len, learned), default=0)} characters)."
        )
        yield _cut(material, limit, asked, "test row", material.split_file, rows, share, also)
    elif trained is not None:
        rows = (
            show_example(material.train_file, train[n], f"ends: …{ending(learned[n], 30)!r}")
            for n in trained.rows
        )
        yield _cut(material, trained, learned, "training row", material.train_file, rows, 0.0, "")


def _cut(
    material: Material,
    limit: Limit,
    texts: list[str],
    noun: str,
    file: str,
    rows: Iterable[ShownRow],
    share: float,
    also: str,
) -> Cause:
    at = set(limit.rows)
    open_at = sum(not _has_end(texts[n]) for n in limit.rows)
    open_below = sum(not _has_end(text) for n, text in enumerate(texts) if n not in at)
    p_open = more_in_one(open_at, len(at), open_below, len(texts) - len(at)) if len(at) < len(texts) else 1.0
    sure: Sure = "strong" if len(at) >= MOSTLY * len(texts) or p_open < CERTAIN else "some"
    return name_cause(
        material,
        "INPUT-CUT",
        f"{counted(len(at), noun)} of {len(texts)} end at {limit.length} {limit.unit}, the greatest length there is, where"
        f" {limit.expected:.1f} would by chance ({show_p(limit.p)}); {open_at / len(at):.0%} of them end within a sentence, of"
        f" the shorter ones {open_below / max(1, len(texts) - len(at)):.0%}.{also}",
        sure,
        [
            figure(f"{noun}s of {limit.length} {limit.unit}", len(at), file),
            figure("expected by chance", limit.expected, file),
            figure("of them without an end of a sentence", open_at / len(at), file),
        ],
        rows=rows,
        share=share,
    )


def _has_end(text: str) -> bool:
    return text.rstrip().endswith(_ENDS)


def _shorter_than_their_row(material: Material) -> Iterator[Cause]:
    """What was asked is the beginning of what stands in the row."""
    pairs = zip(material.tested or [], material.predictions or [], strict=True)
    cut = [
        (example, row)
        for example, row in pairs
        if len(row.input) < len(example.input_text) and example.input_text.startswith(row.input.rstrip("…"))
    ]
    if not cut:
        return
    wrong = sum(not row.correct for _, row in cut)
    yield name_cause(
        material,
        "INPUT-CUT",
        f"{counted(len(cut), 'test row')} were asked with the beginning of their input only.",
        "strong",
        [figure("test rows that were asked shorter than they are", len(cut), material.predictions_file)],
        rows=[
            show_prediction(
                material, row, f"{len(row.input)} of {len(example.input_text)} characters were asked"
            )
            for example, row in cut
        ],
        share=wrong / max(1, len(material.wrong)),
        command="nlp-skills evaluate-version {task} --version {version}{on_split}",
    )
