"""Changing single values of a YAML file that a person wrote: comments, order, quotes and blocks stay.

edit_yaml(text, {"last_run": None}, {"last_run": "2026-11-21"})   →   the same text, one value changed

Fields that go and items of a list that come, go or move are edited as lines, an item with the comments above it;
values are changed in the parsed document.
"""

from __future__ import annotations

from nlp_skills.yaml_edit.lines import edit_lines
from nlp_skills.yaml_edit.values import Plain, change_values


def edit_yaml(text: str, before: Plain, after: Plain) -> str:
    """The text with the differences between two plain values worked in; what is equal is not touched.

    `before` is what the text says, perhaps with defaults that it leaves out, `after` what it shall say. The text
    keeps its line ends.
    """
    windows = text.count("\r\n") > text.count("\n") - text.count("\r\n")
    text = text.replace("\r\n", "\n")
    while (changed := edit_lines(text, before, after)) is not None:
        text, before = changed
    if before != after:
        text = change_values(text, before, after)
    return text.replace("\n", "\r\n") if windows else text
