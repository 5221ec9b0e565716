"""Figures as people read them: with an interval, with a sign (a minus sign, not a hyphen), as a probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlp_skills.evaluation.results import Interval

MINUS = "\N{MINUS SIGN}"


def show_value(value: float, form: str = ".3f") -> str:
    """`0.871`, `−0.043`; `form` is a format specification. What rounds to nothing has no sign."""
    text = f"{value:{form}}"
    zero = f"{0.0:{form.lstrip('+')}}"
    return zero if text.lstrip("+-") == zero else text.replace("-", MINUS)


def show_change(value: float, form: str = ".3f") -> str:
    """`+0.043`, `−0.002`, `0.000`."""
    return show_value(value, f"+{form}")


def show_interval(interval: Interval, form: str = ".3f") -> str:
    """`0.871 (0.820 to 0.914)`."""
    return f"{show_value(interval.value, form)} ({show_value(interval.low, form)} to {show_value(interval.high, form)})"


def show_signed(interval: Interval) -> str:
    """`+0.043 (95 % interval −0.002 to +0.088)`."""
    return f"{show_change(interval.value)} ({_range(interval, '.3f')})"


def show_gain(interval: Interval, form: str = ".3f") -> str:
    """The same for between brackets: `+0.043, 95 % interval −0.002 to +0.088`."""
    return f"{show_change(interval.value, form)}, {_range(interval, form)}"


def _range(interval: Interval, form: str) -> str:
    return f"95 % interval {show_change(interval.low, form)} to {show_change(interval.high, form)}"


def show_p(p: float) -> str:
    """`p = 0.012`, never `p = 0.000`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
