"""The predictions to browse: search, filters and pages over up to 10,000 rows, the wrong ones first (page.js)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.errors import clip, counted
from nlp_skills.evaluation.page.evidence import Evidence, Predictions
from nlp_skills.evaluation.results import Prediction
from nlp_skills.page.charts import shorten
from nlp_skills.page.markup import Child, Html, element, json_block
from nlp_skills.page.parts import LONGEST_INPUT, absent, input_text, lead, section, table

FIRST_ROWS = 20
"""Predictions that stand in the page itself, where scripts do not run."""
MOST_PAIRS = 60
"""Kinds of mistakes to choose from, the most frequent first."""

Row = list[Any]
"""id, input, expected, predicted, confidence, whether it is right, its kinds as places in the list of kinds."""


def predictions_section(evidence: Evidence) -> Html:
    """The browser, and its first rows for those who run no script."""
    found, version = evidence.predictions, evidence.latest.version
    if found is None or not found.count:
        return section("predictions", "Predictions", absent(f"{version} has no predictions yet."))
    kinds = Counter(f"{by}={value}" for row in found.rows for by, value in row.slices.items())
    names = sorted(kinds)
    places = {name: place for place, name in enumerate(names)}
    rows = [_row(prediction, places) for prediction in found.rows]
    scored = any(row[4] is not None for row in rows)
    pairs = _pairs(evidence, found)
    cut = found.count - len(rows)
    return section(
        "predictions",
        "Predictions",
        lead(
            f"{found.wrong_count:,} of {counted(found.count, 'row')} {'is' if found.wrong_count == 1 else 'are'} wrong. {'It comes' if found.wrong_count == 1 else 'They come'} first."
        ),
        element(
            "noscript",
            lead(f"The first {min(FIRST_ROWS, len(rows))} are shown; search and filters need a script."),
        ),
        _controls(found, pairs, {name: kinds[name] for name in names}, scored),
        element(
            "p",
            f"On paper stand the rows that the screen showed. All of them are in versions/{version}/predictions.jsonl.",
            class_="quiet on-paper",
        ),
        _table(rows[:FIRST_ROWS], scored, evidence.task.language),
        element(
            "p",
            element("button", "Next rows", type="button", id="further"),
            class_="further",
            hidden=True,
            id="below",
        ),
        lead(f"{cut:,} more rows stand in versions/{version}/predictions.jsonl.") if cut else None,
        json_block(
            "rows",
            {
                "language": evidence.task.language,
                "scored": scored,
                "pairs": [list(p) for p in pairs],
                "rows": rows,
            },
        ),
    )


def _pairs(evidence: Evidence, found: Predictions) -> dict[tuple[str, str], int]:
    """(expected, predicted) → rows, where answers are labels; elsewhere every mistake is its own."""
    result = evidence.latest.result
    if result is None or not result.confusion:
        return {}
    counts = Counter((row.expected, row.predicted) for row in found.rows if not row.correct)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_PAIRS])


def _controls(
    found: Predictions, pairs: Mapping[tuple[str, str], int], kinds: Mapping[str, int], scored: bool
) -> Html:
    total, wrong = len(found.rows), sum(not row.correct for row in found.rows)
    search = element(
        "input",
        type="search",
        id="filter",
        autocomplete="off",
        placeholder="text, label or id",
        aria_describedby="shown",
    )
    sure = {"0-0.5": "below 0.5", "0.5-0.7": "0.5 to 0.7", "0.7-0.9": "0.7 to 0.9", "0.9-2": "0.9 and above"}
    return element(
        "div",
        element("label", "Search", search, class_="filter"),
        _choice(
            "show",
            "Rows",
            {"": f"all ({total:,})", "wrong": f"wrong ({wrong:,})", "right": f"right ({total - wrong:,})"},
        ),
        _choice(
            "pair",
            "Mistake",
            {"": "any"}
            | {
                str(place): f"{shorten(expected, 22)} → {shorten(predicted, 22)} ({n:,})"
                for place, ((expected, predicted), n) in enumerate(pairs.items())
            },
        )
        if pairs
        else None,
        _choice(
            "kind",
            "Kind",
            {"": "any"}
            | {str(i): f"{shorten(name, 34)} ({n:,})" for i, (name, n) in enumerate(kinds.items())},
        )
        if kinds
        else None,
        _choice("sure", "Confidence", {"": "any"} | sure) if scored else None,
        _choice(
            "order",
            "Order",
            {"": "as in the file", "most": "most confident first", "least": "least confident first"},
        )
        if scored
        else None,
        element(
            "div",
            element("button", "Previous", type="button", id="previous"),
            element("button", "Next", type="button", id="next"),
            element("output", counted(total, "row"), id="shown", for_="filter", role="status"),
            class_="pager",
        ),
        class_="controls",
        hidden=True,
        id="controls",
        role="search",
        aria_label="Predictions",
    )


def _choice(identifier: str, name: str, options: Mapping[str, str]) -> Html:
    chosen = [element("option", words, value=value) for value, words in options.items()]
    return element("label", name, element("select", chosen, id=identifier), class_="choice")


def _table(rows: Sequence[Row], scored: bool, language: str | None) -> Html:
    static: list[list[Child]] = [
        [
            (input_text(row[1] or row[0], language), element("span", row[0], class_="row-id")),
            row[2],
            row[3],
            *(["" if row[4] is None else f"{row[4]:.3f}"] if scored else []),
            "✓ right" if row[5] else element("span", "✕ wrong", class_="told-no"),
        ]
        for row in rows
    ]
    heads = ["Input", "Expected", "Predicted", *(["Confidence"] if scored else []), "Result"]
    return table(heads, static, stack=True, identifier="found")


def _row(prediction: Prediction, places: Mapping[str, int]) -> Row:
    text = prediction.input
    if len(text) > LONGEST_INPUT:
        text = f"{text[:LONGEST_INPUT]}… ({len(text) - LONGEST_INPUT:,} more characters)"
    confidence = (prediction.scores or {}).get(prediction.predicted)
    return [
        prediction.id,
        text,
        clip(prediction.expected, LONGEST_INPUT),
        clip(prediction.predicted, LONGEST_INPUT),
        None if confidence is None else round(confidence, 4),
        int(prediction.correct),
        [places[f"{by}={value}"] for by, value in prediction.slices.items()],
    ]
