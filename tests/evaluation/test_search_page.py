"""The page of a search in a real browser: readable on a phone and a desktop, light and dark, with nothing cut off."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from headless_chromium import Browser, browser, find_chromium

from nlp_skills.evaluation.search.page import search_page, write_search_page
from nlp_skills.evaluation.search.record import SearchDefinition, SearchReport, Trial
from nlp_skills.training.search_space import Choices, Range

DEFINITION = SearchDefinition(
    space={
        "learning_rate": Range(low=5e-5, high=1e-3, log=True),
        "lora_r": Choices(choices=[8, 16, 32]),
        "epochs": Range(low=1, high=4),
    },
    parent="v2",
    metric="eval_loss",
    prune=True,
    seed=13,
    source_hash="0" * 64,
)


def report(trials: int, **given: object) -> SearchReport:
    made = [
        Trial(
            number=n,
            version=f"v{n + 3}",
            state="failed" if n == 5 else "pruned" if n % 3 == 2 else "complete",
            settings={
                "learning_rate": round(5e-5 * 20 ** (n / trials), 8),
                "lora_r": (8, 16, 32)[n % 3],
                "epochs": 1 + n % 4,
            },
            value=None if n == 5 else 0.4 + abs(n - trials / 2) / trials,
            epochs=1.0 if n % 3 == 2 else None,
            note="A <b>long</b> sentence about what went wrong in this trial." if n == 5 else None,
        )
        for n in range(trials)
    ]
    best = min((t for t in made if t.state == "complete"), key=lambda t: t.value or 0.0, default=None)
    return SearchReport(
        task="support",
        key=DEFINITION.key,
        state="complete",
        metric="eval_loss",
        parent="v2",
        trials_wanted=trials,
        jobs=1,
        trials=made,
        best=best.version if best else None,
        best_value=best.value if best else None,
        **given,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("search") / "search.html"
    importance = {"learning_rate": 0.71, "lora_r": 0.2, "epochs": 0.09}
    write_search_page(file, DEFINITION, report(24, importance=importance))
    return file


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if find_chromium() is None or os.name != "posix":
        if os.environ.get("CI"):
            pytest.fail(
                "Chromium is not installed, and in CI these tests have to run: apt-get install chromium"
            )
        pytest.skip("there is no Chromium here that can be driven")
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.parametrize(("metric", "lower"), [("eval_loss", True), ("accuracy", False)])
def test_the_brief_report_lists_the_best_trials_first(metric: str, lower: bool) -> None:
    whole = report(24).with_changes(metric=metric)
    values = sorted((t.value or 0.0 for t in whole.trials if t.state == "complete"), reverse=not lower)
    assert [trial.value for trial in whole.brief().trials] == values[:5]


def test_page_says_what_mattered_only_where_there_are_enough_trials() -> None:
    text = search_page(DEFINITION, report(4))
    assert "to tell which setting mattered. So far: 3 trials." in text
    assert "v5" in text
    none = search_page(DEFINITION, report(0))
    assert "No trial of 0 has ended yet" in none
    assert search_page(DEFINITION, report(24)) == search_page(DEFINITION, report(24))
    assert "&lt;b&gt;long&lt;/b&gt;" in search_page(DEFINITION, report(24))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_and_no_text_of_a_chart_is_cut_off(
    chromium: Browser, page: Path, width: int, dark: bool
) -> None:
    chromium.open(page, width=width, dark=dark)
    assert chromium.complaints() == []
    assert chromium.requests() == []
    assert chromium.evaluate("document.documentElement.scrollWidth <= window.innerWidth") is True
    outside = """[...document.querySelectorAll('svg text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width > 0 && (box.left < 0 || box.right > window.innerWidth || box.height < 11);
    }).map(text => text.textContent)"""
    assert chromium.evaluate(outside) == []
    circles = "['dot', 'ring'].map(kind => document.querySelectorAll(`#trials circle.${kind}`).length)"
    assert chromium.evaluate(circles) == [23, 1]


def test_the_line_of_the_best_so_far_has_no_gap(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [
        dict(re.findall(r'(\w\d)="([\d.]+)%?"', tag))
        for tag in re.findall(r'<line[^>]*class="best"[^>]*>', text)
    ]
    ends = Counter((line[f"x{n}"], line[f"y{n}"]) for line in lines for n in (1, 2))
    assert len(lines) > 3 and sorted(ends.values())[:2] == [1, 1]
    assert set(ends.values()) == {1, 2} and list(ends.values()).count(1) == 2, "it has one start and one end"
