"""The tests of a row whose answer is code, as the field's data sets write them.

HumanEval   test: "def check(candidate): …"   entry_point: "add"       → the test, and check(add)
MBPP        test_list: ["assert add(1, 2) == 3"]   test_setup_code     → one after the other
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def code_tests(row: Mapping[str, Any]) -> str | None:
    """Python that runs after the row's answer and fails where it is wrong; None where the row has no such columns."""
    test, name, listed = row.get("test"), row.get("entry_point"), row.get("test_list")
    if isinstance(test, str) and isinstance(name, str) and name.isidentifier():
        return f"{test}\ncheck({name})"
    if isinstance(listed, list) and listed and all(isinstance(line, str) for line in listed):
        setup = row.get("test_setup_code")
        return "\n".join([setup, *listed] if isinstance(setup, str) and setup else listed)
    return None
