"""The verdicts of bfcl-eval's own checkers, for lines of JSON on standard input. Needs nothing of this project.

    PYTHONPATH=<folder of bfcl_eval> python benchmarks/bfcl_reference.py < questions.jsonl > verdicts.jsonl

    {"kind": "ast", "functions": …, "calls": [{name: {…}}], "answers": …, "language": …, "category": …}
    {"kind": "relevance", "calls": […], "category": …}
    {"kind": "multi_turn", "entry": …, "calls": [turn][step][call as code], "truth": [turn][call as code]}

An answer is {"valid": …, "error": type} or {"raised": exception}. The module that imports every model's client is replaced
by the one table that the checker reads from it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace
from typing import Any

stub: Any = ModuleType("bfcl_eval.constants.model_config")
stub.MODEL_CONFIG_MAPPING = defaultdict(lambda: SimpleNamespace(underscore_to_dot=False))
sys.modules[stub.__name__] = stub


def verdict(row: dict[str, Any], number: int) -> dict[str, Any]:
    """What the reference says to one question."""
    if row["kind"] == "relevance":
        from bfcl_eval.utils import is_empty_output

        called = not is_empty_output(row["calls"])
        return {"valid": called != ("irrelevance" in row["category"])}
    if row["kind"] == "multi_turn":
        return multi_turn(row, f"model{number}")
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    found = ast_checker(
        row["functions"], row["calls"], row["answers"], Language(row["language"]), row["category"], "model"
    )
    return {"valid": found["valid"], "error": found.get("error_type")}


def multi_turn(row: dict[str, Any], model: str) -> dict[str, Any]:
    """State and responses, and whether nothing was called where nothing could be; as eval_runner.py joins them."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    entry = row["entry"]
    found = multi_turn_checker(row["calls"], row["truth"], entry, entry["id"].rsplit("_", 1)[0], model)
    return {"valid": found["valid"], "error": found.get("error_type")}


for number, line in enumerate(sys.stdin):
    try:
        answer = verdict(json.loads(line), number)
    except Exception as error:  # noqa: BLE001 whatever it raises is the answer
        answer = {"raised": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
