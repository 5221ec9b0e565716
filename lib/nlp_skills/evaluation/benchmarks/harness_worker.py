"""lm-evaluation-harness with a model that answers elsewhere: a program of its own, run in the harness's environment.

    this program  ── {"ask": "choices", "rows": […]} ──▶  nlp-skills, with the predictor
    (lm_eval)     ◀──────────── {"found": […]} ─────────

One line of JSON each way on stdin and stdout. It imports nothing of nlp-skills. With `chat`, a context is the JSON of
its turns, which the predictor renders as it renders the rows of the task; without, it is the plain text.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from itertools import groupby
from typing import Any

OUT = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
os.dup2(2, 1)  # whatever the harness prints is no answer

EVALUATOR: Any = import_module("lm_eval.evaluator")
TASKS: Any = import_module("lm_eval.tasks")
MODEL: Any = import_module("lm_eval.api.model").LM


def say(**told: Any) -> None:
    """One line for the other side."""
    OUT.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
    OUT.flush()


def ask(what: str, rows: list[Any]) -> list[Any]:
    """What the predictor says to each row; the program ends when nobody answers."""
    say(ask=what, rows=rows)
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(1)
    return json.loads(line)["found"]


class Elsewhere(MODEL):  # the harness's class is known only where it is installed
    """The harness's model: it passes every request on."""

    tokenizer_name = "nlp-skills"

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Choices that share a context are asked together."""
        pairs = [(request.args[0], request.args[1]) for request in requests]
        rows = [
            {"context": context, "choices": [choice for _, choice in same]}
            for context, same in groupby(pairs, key=lambda pair: pair[0])
        ]
        return [(value, greedy) for row in ask("choices", rows) for value, greedy in row]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Whole texts."""
        return ask("rolling", [request.args[0] for request in requests])

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Free answers; the other side cuts them at the task's stop strings."""
        return ask("generate", [{"context": r.args[0], "settings": r.args[1]} for r in requests])

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The turns as they are; the predictor's own template renders them."""
        if not add_generation_prompt:
            raise Refused("it begins the assistant's answer itself (gen_prefix)")
        return json.dumps(chat_history, ensure_ascii=False)

    def chat_template(self, chat_template: bool | str = False) -> str:  # noqa: ARG002
        """For the harness's own record."""
        return "the predictor's"


class Refused(Exception):
    """What a chat cannot be asked."""


def refuse(name: str, config: dict[str, Any], chat: bool) -> None:
    """Raise Refused for a task that only plain texts can answer, or that runs what the model writes."""
    if config.get("unsafe_code"):
        raise Refused(f"{name} runs code that the model writes, outside of a sandbox")
    if not chat:
        return
    if config["output_type"] in ("loglikelihood", "loglikelihood_rolling"):
        raise Refused(f"{name} asks for the likelihood of plain text ({config['output_type']})")
    metrics = {str(metric.get("metric")) for metric in config.get("metric_list") or []}
    if config["output_type"] == "multiple_choice" and metrics & {
        "acc_mutual_info",
        "exact_match",
        "brier_score",
    }:
        raise Refused(f"{name} is judged by what only plain texts tell ({', '.join(sorted(metrics))})")


def run(given: dict[str, Any]) -> dict[str, Any]:
    """The harness's results of the suites."""
    manager = TASKS.TaskManager(include_path=given["include"], include_defaults=given["packaged"])
    unknown = [name for name in given["suites"] if name not in manager.all_tasks]
    if unknown:
        return {"unknown": unknown, "known": manager.all_tasks}
    try:
        loaded = manager.load(given["suites"])
    except Exception as error:  # the harness and datasets raise whatever they like  # noqa: BLE001
        return {"unloaded": f"{type(error).__name__}: {error}"}
    for name, task in loaded["tasks"].items():
        try:
            refuse(name, {**task.config.to_dict(), "output_type": task.OUTPUT_TYPE}, given["chat"])
        except Refused as error:
            return {"refused": str(error)}
    try:
        return found(given, manager)
    except Refused as error:
        return {"refused": str(error)}


def found(given: dict[str, Any], manager: Any) -> dict[str, Any]:
    """What the harness measured, without what it knows of this machine."""
    results = EVALUATOR.simple_evaluate(
        model=Elsewhere(),
        tasks=given["suites"],
        num_fewshot=given["few_shot"],
        limit=given["limit"],
        apply_chat_template=given["chat"],
        task_manager=manager,
        random_seed=given["seed"],
        numpy_random_seed=given["seed"],
        torch_random_seed=None,  # there is no torch here
        fewshot_random_seed=given["seed"],
    )
    kept = ("results", "group_subtasks", "versions", "n-shot", "higher_is_better", "n-samples")
    samples = [
        {
            "suite": name,
            "doc": sample["doc_id"],
            "prompt": sample["prompt_hash"][:16],
            "filter": sample["filter"],
            "target": sample["target"],
            "said": sample["filtered_resps"],
            "metrics": {
                metric: float(sample[metric])
                for metric in sample["metrics"]
                if isinstance(sample.get(metric), int | float)
            },
        }
        for name, rows in results["samples"].items()
        for sample in rows
    ]
    return {**{name: results.get(name, {}) for name in kept}, "samples": samples}


def main() -> None:
    """One run for each line."""
    from importlib.metadata import version

    say(ready=version("lm_eval"))
    for line in sys.stdin:
        say(done=run(json.loads(line)))


if __name__ == "__main__":
    main()
