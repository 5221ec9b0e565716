"""Several values in one text, as a command line gives them."""

from __future__ import annotations

import csv

import yaml

from nlp_skills.errors import NotValid


def read_list(text: str) -> list[str]:
    """`a,b` → a and b; `"a, b",c` keeps the comma in quotes; `[a, b]` is read as a YAML list. Empty ones are left out.

    Raises NotValid for a YAML list that cannot be read, or holds more than plain values.
    """
    if text.lstrip().startswith("["):
        return _yaml_list(text)
    values = next(csv.reader([text.replace("\n", " ")], skipinitialspace=True), [])
    return [value.strip() for value in values if value.strip()]


def _yaml_list(text: str) -> list[str]:
    try:
        # BaseLoader: a label `no` or `1` is text, as it stands.
        values = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise NotValid(f"{text!r} is no list of plain values. Write it as a,b or '[a, b]'.")
    return [value for value in values if value]
