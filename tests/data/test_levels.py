"""The guide names every level that a check may have."""

from pathlib import Path

import pytest

from nlp_skills.data.checks import CHECKS, lines, token_faults

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
WORDS = {
    "en": {"error": "error", "warning": "warning", "info": "info"},
    "zh-TW": {"error": "錯誤", "warning": "警告", "info": "資訊"},
}


def tables(language: str) -> list[list[list[str]]]:
    """The tables of the page, each as rows of cells, without their heads."""
    text = (GUIDE / language / "data-checks.md").read_text(encoding="utf-8")
    found = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in block[2:]] for block in found]


def levels(language: str) -> dict[str, set[str]]:
    """Check → the levels of the overview."""
    words = {word: level for level, word in WORDS[language].items()}
    overview, _ = tables(language)
    return {
        check: {words[word.strip()] for word in said.replace("、", ",").split(",")}
        for check, _, said, _ in overview
    }


@pytest.mark.parametrize("language", WORDS)
def test_the_levels_of_the_guide_are_those_of_the_faults(language: str) -> None:
    documented = levels(language)
    assert set(documented) == set(CHECKS)
    assert documented == levels("en")
    used = [(check, level) for check, level, _, _ in lines.KINDS.values()]
    used += [(kind.check, kind.level) for kind in token_faults.KINDS.values()]
    assert [(check, level) for check, level in used if level not in documented[check]] == []


@pytest.mark.parametrize("language", WORDS)
def test_each_check_of_two_levels_says_when_it_has_which(language: str) -> None:
    _, conditions = tables(language)
    told = {
        row[0]: {level for level, cell in zip(("error", "warning", "info"), row[1:], strict=True) if cell}
        for row in conditions
    }
    assert told == {check: found for check, found in levels(language).items() if len(found) > 1}
