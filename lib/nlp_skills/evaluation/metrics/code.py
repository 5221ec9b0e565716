"""Code: does what a model wrote pass the row's own tests? pass@k of Chen et al. 2021 (arXiv:2107.03374).

A row's tests are Python that runs after the answer (`meta.tests`): asserts, or HumanEval's `check` and its call. The
answer may be a whole program, one in a Markdown fence, or the body that goes on where the prompt's own code ends.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from nlp_skills.data.example import Example
from nlp_skills.evaluation.metrics.code_sandbox import run_code
from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import Progress, silent
from nlp_skills.training.environment import free_cores

KS = (1, 5, 10)

_FENCE = re.compile(r"^[ \t]*```[\w+-]*[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_DEFINES = re.compile(r"^(?:(?:def|class|async def|import|from) |@)", re.MULTILINE)


def run_tests(
    examples: Sequence[Example],
    answers: Sequence[Sequence[str]],
    *,
    progress: Progress = silent,
) -> list[list[bool]]:
    """Whether each answer to each example passes the example's tests, in their order.

    As many programs run at once as there are processors. An example without tests has passed nothing.
    """
    jobs = [
        (programs(example.input_text, answer), example.meta.tests)
        for example, given in zip(examples, answers, strict=True)
        for answer in given
    ]

    def passes(job: tuple[list[str], str | None]) -> bool:
        program, tests = job
        return tests is not None and run_code(program, tests).passed

    passed = []
    with ThreadPoolExecutor(free_cores()) as pool:
        for done, result in enumerate(pool.map(passes, jobs), start=1):
            passed.append(result)
            progress("running the answers' tests", done, len(jobs))
    results = iter(passed)
    return [[next(results) for _ in given] for given in answers]


def programs(prompt: str, answer: str) -> list[str]:
    """What an answer may mean as a program, the most likely first; the first that compiles is run."""
    code = _without_fence(answer).strip("\n")
    if not _DEFINES.search(prompt):
        return [code]
    head = prompt.rstrip("\n") + "\n"
    whole, continued = head + code, [f"{head}    {code.lstrip()}", head + textwrap.indent(code, "    ")]
    stands_alone = code[:1].isspace() or _DEFINES.search(code)
    return [whole, *continued, code] if stands_alone else [*continued, whole, code]


def _without_fence(answer: str) -> str:
    """The first block of code in a Markdown text, otherwise the text."""
    found = _FENCE.search(answer)
    return found.group(1) if found else answer


def pass_at(k: int, samples: int, right: int) -> float:
    """The chance that one of k answers is right, drawn from so many of which so many are: unbiased."""
    if samples - right < k:
        return 1.0
    missed = 1.0
    for left in range(samples - right + 1, samples + 1):
        missed *= 1 - k / left
    return 1 - missed


def _metric(k: int) -> Metric:
    def one(row: Prediction) -> float:
        return pass_at(k, len(row.passed), sum(row.passed))

    return mean(f"pass@{k}", one, applies=_enough(k))


def _enough(k: int) -> Callable[[Sequence[Prediction]], bool]:
    return lambda rows: bool(rows) and all(len(row.passed) >= k for row in rows)


CODE: dict[str, Metric] = {f"pass_at_{k}": _metric(k) for k in KS}
