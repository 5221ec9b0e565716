"""Figures as people read them: one function shows a sign, and it is a minus sign."""

import ast
from pathlib import Path

import pytest

import nlp_skills
from nlp_skills.evaluation.figures import show_interval, show_value
from nlp_skills.evaluation.results import Interval

LIBRARY = Path(nlp_skills.__file__).parent


def test_only_the_function_for_it_writes_a_sign() -> None:
    signed = [
        f"{file.relative_to(LIBRARY)}:{node.lineno}"
        for file in sorted(LIBRARY.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and "+" in _format_of(node)
    ]
    assert signed == []


def _format_of(node: ast.FormattedValue) -> str:
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (-0.4444, ".3f", "−0.444"),
        (-0.0001, ".3f", "0.000"),
        (0.25, ".1%", "25.0%"),
        (-1.5e-09, ".2g", "−1.5e−09"),
    ],
)
def test_negative_figures_have_a_minus_sign(value: float, form: str, shown: str) -> None:
    assert show_value(value, form) == shown


def test_interval_of_a_correlation_has_minus_signs() -> None:
    assert show_interval(Interval(value=-0.444, low=-0.629, high=0.1)) == "−0.444 (−0.629 to 0.100)"
