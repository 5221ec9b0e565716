"""Code that models write: HumanEval's own solutions pass, wrong ones fail, and hostile ones neither cheat nor do harm."""

import gzip
import itertools
import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.code_tests import code_tests
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.sources.source import Columns
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.code import pass_at, programs, run_tests
from nlp_skills.evaluation.metrics.code_sandbox import CHILD, Limits, run_code, sandbox_holds
from nlp_skills.evaluation.results import Prediction
from nlp_skills.task.task import Task, TaskType

QUICK = Limits(seconds=20, memory_mb=512)

linux = pytest.mark.skipif(sys.platform != "linux", reason="what the kernel fences off is Linux's")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits: see code_sandbox.py")


@pytest.fixture(scope="module")
def humaneval(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "instruction_chat" / "HumanEval.jsonl.gz") as stream:
        return [json.loads(line) for line in stream]


def test_all_solutions_of_humaneval_pass_and_those_with_a_wrong_result_fail(humaneval: list[dict[str, Any]]):
    good = [(programs(row["prompt"], row["canonical_solution"]), code_tests(row) or "") for row in humaneval]
    spoilt = [
        ([f"{program[0]}\n\nright = {name}\n\n\ndef {name}(*given):\n    return (right(*given), 0)\n"], tests)
        for (program, tests), name in zip(
            good[::4], [row["entry_point"] for row in humaneval[::4]], strict=True
        )
    ]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda job: run_code(*job), [*good, *spoilt]))
    failed = [row["task_id"] for row, outcome in zip(humaneval, outcomes, strict=False) if not outcome.passed]
    assert (len(good), failed) == (164, [])
    assert [outcome.passed for outcome in outcomes[164:]] == [False] * 41


def test_rows_of_humaneval_come_with_their_tests_and_any_way_to_write_the_answer_is_read(
    humaneval: list[dict[str, Any]],
):
    task = Task.parse({"name": "a", "type": TaskType.GENERATION, "goal": "g", "created": "now"}, "here")
    layout = detect_layout(humaneval, Columns(), TaskType.GENERATION)
    examples = [
        to_example(row, layout, task=task, source="humaneval", line=n)
        for n, row in enumerate(humaneval[:2], 1)
    ]
    row, body = humaneval[0], humaneval[0]["canonical_solution"]
    whole = row["prompt"] + body
    answers = [
        body,
        body.strip(),
        f"Here it is:\n\n```python\n{whole}```\nIt compares them.",
        "    return None",
    ]
    right, none = run_tests(examples, [answers, ["I do not know."]])
    assert (right, none) == ([True, True, True, False], [False])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("leaves", "import sys\nsys.exit(0)"),
        ("leaves at once", "import os\nos._exit(0)"),
        (
            "leaves in a thread",
            "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\ninput()",
        ),
        ("leaves inside the test", "def f():\n    raise SystemExit(0)"),
        ("says that it passed", "print('passed')\nimport os\nos.write(3, b'passed')\nos._exit(0)"),
        ("is no code", "I am sorry, but"),
        ("does nothing", ""),
        ("asks", "f = input"),
        ("opens a socket", "import socket\nsocket.create_connection(('127.0.0.1', 9))"),
        ("starts a program", "import subprocess\nsubprocess.run(['echo'])"),
        ("starts a shell", "import os\nos.system('echo')"),
        ("forks", "import os\nwhile True:\n    os.fork()"),
        ("kills its parent", "import os\nos.kill(os.getppid(), 9)"),
        ("takes the limits off", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))"),
        ("looks for the token", "import gc\ngc.get_objects()"),
        ("writes many files", "for i in range(10**6):\n    open(str(i), 'w').close()"),
    ],
)
@posix
def test_code_that_does_not_do_its_work_does_not_pass(name: str, code: str):
    assert not run_code([code], "assert f() == 1", QUICK).passed


@posix
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True:\n    pass", "it ran longer than 2 seconds"),
        ("import time\ntime.sleep(60)", "it ran longer than 2 seconds"),
        ("x = [0] * 10**9", "MemoryError"),
        ("x = []\nwhile True:\n    x.append(bytearray(10**6))", "MemoryError"),
        ("f = open('a', 'wb')\nwhile True:\n    f.write(bytes(10**5))", "File too large"),
        ("def f(n):\n    return f(n + 1)\n\n\nf(0)", "RecursionError"),
        ("print('x' * 10**7)\nassert False, 'no'", "AssertionError: no"),
    ],
)
def test_time_memory_and_disk_are_limited_and_the_reason_is_told(code: str, reason: str):
    if sys.platform == "darwin" and reason == "MemoryError":
        pytest.skip("macOS does not limit memory: sandbox_holds() says so")
    seconds = 2 if "longer" in reason else 20
    outcome = run_code([code], "pass", Limits(seconds=seconds, memory_mb=256))
    assert not outcome.passed
    assert reason in outcome.reason


def test_files_are_written_in_a_folder_that_is_gone_afterwards_and_nowhere_else(tmp_path: Path):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine", encoding="utf-8")
    here = "import os\nopen('note', 'w').write('x')\nos.mkdir('sub')\nos.rename('note', 'sub/note')\nplace = os.getcwd()"
    assert run_code([here], "assert open('sub/note').read() == 'x'")[0]
    for change in (
        "open({path!r}, 'w')",
        "open({path!r}, 'a').write('x')",
        "import os; os.open({path!r}, os.O_RDWR | os.O_TRUNC)",
        "import os; os.remove({path!r})",
        "import os; os.rename({path!r}, 'mine')",
        "import os; os.chmod({path!r}, 0)",
        "import os; os.symlink({path!r}, 'link')",
        "import shutil; shutil.rmtree({folder!r})",
        "import pathlib; pathlib.Path({folder!r}, 'new').mkdir()",
        "import sqlite3; sqlite3.connect({path!r}).execute('create table t (x)')",
    ):
        code = change.format(path=str(kept), folder=str(tmp_path))
        assert not run_code([code], "pass").passed, code
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("kept.txt", "mine")]


@posix
def test_the_code_sees_no_environment_and_no_package_of_ours_that_was_loaded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    code = "import os, sys\nseen = dict(os.environ), 'nlp_skills' in sys.modules"
    known = "{'LC_CTYPE', 'OPENBLAS_NUM_THREADS', 'OMP_NUM_THREADS'}"
    assert run_code([code], f"assert seen[0].keys() <= {known}, seen\nassert not seen[1]")[0]


@linux
def test_numpy_has_one_thread_however_many_processors_there_are():
    code = "import os, numpy\nnumpy.ones((300, 300)) @ numpy.ones((300, 300))\nthreads = os.listdir('/proc/self/task')"
    assert run_code([code], "assert len(threads) == 1, threads")[:2] == (True, "")


@pytest.mark.parametrize(
    "code",
    [
        "from dataclasses import dataclass\n\n\n@dataclass\nclass P:\n    x: int = 1\n\n\ndef f():\n    return P().x",
        "import threading\nfound = []\nt = threading.Thread(target=found.append, args=(1,))\nt.start()\nt.join()\nf = found.pop",
        "from functools import cache\n\n\n@cache\ndef f():\n    return 1\n\n\nif __name__ == '__main__':\n    raise ValueError",
        "import collections, heapq, itertools, json, math, random, re, string, typing, decimal, datetime\nf = lambda: 1",
        "import uuid, tempfile, numpy\nf = lambda: int(numpy.ones(1)[0])",
    ],
)
def test_ordinary_code_runs(code: str):
    assert run_code([code], "assert f() == 1")[:2] == (True, "")


@linux
def test_linux_holds_memory_files_network_and_processes():
    assert set(sandbox_holds()) == {"memory", "file size", "files", "network", "processes"}


@linux
@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "socket.socket()",
        "socket.socketpair()",
        "os.kill(os.getppid(), 0)",
        "open(outside, 'w')",
        "open(outside + '.new', 'w')",
        "os.truncate(outside, 0)",
        "os.remove(outside)",
        "os.rename(outside, inside)",
        "os.chmod(outside, 0)",
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    ],
)
def test_the_kernel_refuses_it_without_the_hook_too(attempt: str, tmp_path: Path):
    """The fence alone, in a process that Python itself does not watch."""
    outside, folder = tmp_path / "mine", tmp_path / "folder"
    outside.write_text("mine", encoding="utf-8")
    folder.mkdir()
    script = f"""
import os, resource, socket, sys
sys.path.insert(0, {str(CHILD.parent)!r})
import linux_fence
outside, inside = {str(outside)!r}, {str(folder / "mine")!r}
assert linux_fence.fence({str(folder)!r}) == ["files", "network", "processes"]
open(inside + "-too", "w").close()
open(os.devnull, "w").close()
try:
    {attempt}
except (OSError, ValueError) as error:
    print(type(error).__name__)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ("ValueError" if "setrlimit" in attempt else "PermissionError")
    assert outside.read_text(encoding="utf-8") == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "mine"]


def test_a_program_is_the_answer_with_the_prompts_code_where_the_prompt_is_code():
    prompt = 'def f(x):\n    """Double it."""\n'
    assert programs("Write f, which doubles.", "```python\ndef f(x):\n    return 2 * x\n```")[0] == (
        "def f(x):\n    return 2 * x"
    )
    for answer in (
        "    return 2 * x",
        "return 2 * x",
        "y = x\n    return y + x",
        "y = x\nreturn y + x",
        "def f(x):\n    return 2 * x",
        "import math\nreturn math.prod((2, x))",
        "```\nreturn 2 * x",
        "for _ in (1, 2):\n        pass\n    return x + x",
    ):
        assert run_code(programs(prompt, answer), "assert f(4) == 8")[:2] == (True, ""), answer


def test_tests_of_other_sets_are_read_and_rows_without_any_have_none():
    mbpp = {"test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"], "test_setup_code": "import math"}
    assert code_tests(mbpp) == "import math\nassert add(1, 2) == 3\nassert add(0, 0) == 0"
    assert code_tests({"test": "a text", "entry_point": "no name"}) is None
    assert code_tests({"text": "a"}) is None
    untested = Example(
        meta=Meta(id="1", source="s"), messages=[Message("user", "q"), Message("assistant", "pass")]
    )
    assert run_tests([untested], [["pass"]]) == [[False]]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_right_answer(k: int):
    for right in range(8):
        answers = [True] * right + [False] * (7 - right)
        draws = list(itertools.combinations(answers, k))
        share = Fraction(sum(any(draw) for draw in draws), len(draws))
        assert math.isclose(pass_at(k, 7, right), float(share), abs_tol=1e-12)


def test_pass_at_k_asks_for_k_answers_of_every_row():
    def row(passed: list[bool]) -> Prediction:
        return Prediction(id="", expected="", predicted="", correct=False, passed=passed)

    rows = [row([True, False, False, False, False]), row([False] * 5)]
    assert METRICS["pass_at_1"].measure(rows) == pytest.approx(0.1)
    assert METRICS["pass_at_5"].measure(rows) == pytest.approx(0.5)
    assert [METRICS[f"pass_at_{k}"].applies(rows) for k in (1, 5, 10)] == [True, True, False]
    assert not METRICS["pass_at_1"].applies([*rows, row([])])


def test_no_folder_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_code(["open('a', 'w').write('x')"], "pass")
    run_code(["while True: pass"], "pass", Limits(seconds=0.5))
    assert list(tmp_path.iterdir()) == []
