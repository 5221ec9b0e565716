"""How our scorer of tool calls agrees with the checkers of bfcl-eval, on every category of BFCL v4.

    uv run --extra train python benchmarks/tool_use.py [--mutations 6] [--categories …] [--differences FILE]

Answers are made from the accepted ones and then broken on purpose (a wrong tool, a missing parameter, another type, another
spelling …), a few ways for each question, always the same ones. The reference runs in an environment of its own, made by uv
with the wheel alone; ours in this one. Prints a table for each category, and every
difference; "unbroken" are the answers that nothing was done to, and how many of them are right.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.evaluation.tool_use.api_process import ApiProcess
from nlp_skills.evaluation.tool_use.bfcl import (
    SINGLE_TURN,
    Question,
    Scenario,
    category_names,
    read_questions,
    read_scenarios,
)
from nlp_skills.evaluation.tool_use.bfcl_package import PACKAGE, bfcl_package
from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.multi_turn import as_call, judge_turns

REFERENCE = Path(__file__).with_name("bfcl_reference.py")


class Case(NamedTuple):
    """One answer to one question, and how it was made."""

    question: Question
    made: str
    calls: list[Call]


# --- answers ---------------------------------------------------------------------------------------------------


def chosen(accepted: Any, rng: random.Random | None) -> Any:
    """One of the accepted values, the first or any."""
    if not isinstance(accepted, list):
        return accepted
    options = [option for option in accepted if option != ""] or [""]
    return rng.choice(options) if rng else options[0]


def filled(option: Any, rng: random.Random | None) -> Any:
    """A value for an option: a dictionary lists accepted values for each of its keys, one level deep."""
    if isinstance(option, dict):
        return {key: chosen(values, rng) for key, values in option.items() if needed(values, rng)}
    if isinstance(option, list):
        return [filled(item, rng) if isinstance(item, dict) else item for item in option]
    return option


def needed(accepted: Any, rng: random.Random | None) -> bool:
    return not isinstance(accepted, list) or "" not in accepted or (rng is not None and rng.random() < 0.5)


def right_answer(question: Question, rng: random.Random | None = None) -> list[Call]:
    """Calls that are right: the first accepted values, without what may be left out; with `rng` any of them."""
    calls = []
    for answer in question.answers:
        name, accepted = next(iter(answer.items()))
        parameters = next(f for f in question.functions if f["name"] == name)["parameters"]
        schemas = parameters["properties"]
        values = {
            key: filled(chosen(options, rng), rng)
            for key, options in accepted.items()
            if key in parameters["required"] or needed(options, rng)
        }
        if question.language != "python":
            values = {
                key: as_code(value, schemas[key], question.language)
                for key, value in values.items()
                if key in schemas
            }
        calls.append(Call(name, values))
    return calls


def as_code(value: Any, schema: Mapping[str, Any], language: str) -> Any:
    """A value as Java or JavaScript writes it: these categories take text."""
    if isinstance(value, str):
        return value
    kind, inner = schema["type"], schema.get("items", {})
    if isinstance(value, list):
        inner = inner.get("type")
        # Elements of an array of String keep their quotes where the checker reads them.
        bare = kind == "Array" and inner in ("String", "any")
        parts = ", ".join(str(item) if bare else element(item, inner, language) for item in value)
        if language == "javascript":
            return f"[{parts}]"
        return (
            f"new ArrayList<>(Arrays.asList({parts}))" if kind == "ArrayList" else f"new Object[]{{{parts}}}"
        )
    if isinstance(value, dict):
        if language == "javascript":
            return (
                "{"
                + ", ".join(f"{key}: {element(item, None, language)}" for key, item in value.items())
                + "}"
            )
        puts = " ".join(f'put("{key}", {element(item, None, language)});' for key, item in value.items())
        return f"new HashMap<String, Object>() {{{{ {puts} }}}}"
    suffix = {"long": "L", "float": "f"} if language == "java" else {"Bigint": "n"}
    return f"{json.dumps(value)}{suffix.get(kind, '')}"


def element(value: Any, kind: str | None, language: str) -> str:
    return json.dumps(value) if isinstance(value, str) else str(as_code(value, {"type": kind}, language))


# --- breaking them ---------------------------------------------------------------------------------------------

Break = Callable[[Question, list[Call], random.Random], list[Call] | None]


def other_tool(question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    names = [f["name"] for f in question.functions] + ["unknown_tool", calls[0].name.replace(".", "_") + "x"]
    return replaced(calls, rng, lambda call: Call(rng.choice(names), call.arguments))


def without_one(_question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    def drop(call: Call) -> Call:
        gone = rng.choice(list(call.arguments)) if call.arguments else None
        return Call(call.name, {key: value for key, value in call.arguments.items() if key != gone})

    return replaced(calls, rng, drop)


def one_more(question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    def add(call: Call) -> Call:
        known = next((f for f in question.functions if f["name"] == call.name), question.functions[0])
        names = [key for key in known["parameters"]["properties"] if key not in call.arguments] + ["surprise"]
        return Call(call.name, {**call.arguments, rng.choice(names): rng.choice(["", 1, [], {}, True, None])})

    return replaced(calls, rng, add)


def renamed(_question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    def rename(call: Call) -> Call:
        old = rng.choice(list(call.arguments)) if call.arguments else None
        return Call(call.name, {f"{k}_" if k == old else k: v for k, v in call.arguments.items()})

    return replaced(calls, rng, rename)


def other_count(_question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    return rng.choice([[], calls[:-1], [*calls, calls[0]], [*calls, Call("unknown_tool", {})]])


def other_order(_question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    return rng.sample(calls, len(calls))


def twice_the_same(_question: Question, calls: list[Call], _rng: random.Random) -> list[Call] | None:
    return [calls[0]] * len(calls)


def other_value(_question: Question, calls: list[Call], rng: random.Random) -> list[Call] | None:
    def change(call: Call) -> Call:
        if not call.arguments:
            return call
        name = rng.choice(list(call.arguments))
        return Call(call.name, {**call.arguments, name: another(call.arguments[name], rng)})

    return replaced(calls, rng, change)


def other_option(question: Question, _calls: list[Call], rng: random.Random) -> list[Call] | None:
    return right_answer(question, rng)


def replaced(calls: list[Call], rng: random.Random, change: Callable[[Call], Call]) -> list[Call]:
    place = rng.randrange(len(calls))
    return [change(call) if i == place else call for i, call in enumerate(calls)]


def another(value: Any, rng: random.Random) -> Any:
    """A value that may or may not count as the same."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return rng.choice(
            [
                {**value, key: another(value[key], rng)},
                {k: v for k, v in value.items() if k != key},
                {**value, "surprise": 1},
                dict(reversed(value.items())),
            ]
        )
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return rng.choice(
            [
                [another(item, rng) if i == place else item for i, item in enumerate(value)],
                value[::-1],
                [*value, value[0]],
                value[:-1],
                value[place],
            ]
        )
    options: list[Any] = [None, "", [], {}, [value], str(value), 0, 1.5, True, "true", "x"]
    if isinstance(value, str):
        spellings = [
            value.upper(),
            f" {value}.",
            value.replace(" ", ""),
            value.replace("'", '"'),
            f"{value}s",
            f'"{value}"',
        ]
        options = [*spellings, *spellings, *options]
    elif isinstance(value, bool):
        options += [not value, not value, int(value), str(value).lower()]
    elif isinstance(value, int | float):
        options += [float(value), int(value), value + 1, -value, value, float(value)]
    return rng.choice(options)


BREAKS: dict[str, Break] = {
    "another value": other_value,
    "another value of any": lambda q, _c, r: other_value(q, right_answer(q, r), r),
    "another accepted value": other_option,
    "a parameter less": without_one,
    "a parameter more": one_more,
    "a parameter renamed": renamed,
    "another tool": other_tool,
    "another number of calls": other_count,
    "another order": other_order,
    "one call for all": twice_the_same,
}
WEIGHTS = (6, 4, 3, 2, 2, 1, 1, 1, 1, 1)


def cases(question: Question, mutations: int, seed: int = 0) -> Iterator[Case]:
    """The right answer to a question and some broken ones; always the same for a seed."""
    rng = random.Random(f"{seed} {question.id}")
    if not question.answers:
        yield Case(question, "no call", [])
        yield Case(
            question, "a call", [Call(question.functions[0]["name"] if question.functions else "f", {})]
        )
        return
    yield Case(question, "right", right_answer(question))
    for made in rng.choices(list(BREAKS), WEIGHTS, k=mutations):
        calls = BREAKS[made](question, copy.deepcopy(right_answer(question)), rng)
        if calls is not None:
            yield Case(question, made, calls)


# --- several turns -----------------------------------------------------------------------------------------------


class Play(NamedTuple):
    """The calls of a scenario, turn by turn, and how they were made."""

    scenario: Scenario
    made: str
    turns: list[list[str]]


def plays(scenario: Scenario, mutations: int, seed: int = 0) -> Iterator[Play]:
    """The packaged calls, and some changes of them."""
    yield Play(scenario, "right", scenario.truth)
    rng = random.Random(f"{seed} {scenario.id}")
    for _ in range(mutations):
        turns = [list(turn) for turn in scenario.truth]
        turn = rng.choice([calls for calls in turns if calls])
        place = rng.randrange(len(turn))
        made = rng.choice(
            ["a call less", "a call twice", "another argument", "another order", "an unknown call", "no call"]
        )
        if made == "a call less":
            del turn[place]
        elif made == "a call twice":
            turn.insert(place, turn[place])
        elif made == "another argument":
            turn[place] = with_another_argument(turn[place], rng)
        elif made == "another order":
            rng.shuffle(turn)
        elif made == "an unknown call":
            turn.insert(place, "unknown_tool(a=1)")
        else:
            turn.clear()
        yield Play(scenario, made, turns)


def with_another_argument(code: str, rng: random.Random) -> str:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    places = [*call.keywords]
    if not places:
        return code
    keyword = rng.choice(places)
    keyword.value = ast.Constant(another(ast.literal_eval(keyword.value), rng))
    return ast.unparse(call)


# --- the reference -----------------------------------------------------------------------------------------------


def reference_python(folder: Path) -> Path:
    """An environment with the wheel alone, and what its checkers import themselves."""
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is needed to make the reference's environment: pip install uv")
    python = (
        folder / ("Scripts" if os.name == "nt" else "bin") / ("python.exe" if os.name == "nt" else "python")
    )
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    wheel = folder / "requirement.txt"
    wheel.write_text(f"{PACKAGE.requirement} --hash=sha256:{PACKAGE.wheel_sha256}\n", encoding="utf-8")
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--no-deps", "--require-hashes", "-r", str(wheel)], check=True)
    subprocess.run([*install, "mpmath", "filelock"], check=True)
    return python


def ask_reference(
    python: Path, rows: Sequence[Mapping[str, Any]], package: Path | None = None
) -> list[dict[str, Any]]:
    """The reference's verdicts; `package` is the folder of bfcl_eval where `python` does not have it."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "BFCL_PROJECT_ROOT": scratch, "PYTHONIOENCODING": "utf-8"}
        if package is not None:
            environment["PYTHONPATH"] = str(package)
        ran = subprocess.run(
            [str(python), "-B", str(REFERENCE)],
            input="".join(json.dumps(row) + "\n" for row in rows),
            capture_output=True,
            encoding="utf-8",
            env=environment,
            check=True,
        )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def asked(case: Case) -> dict[str, Any]:
    """A case as the reference is asked."""
    question = case.question
    row = {"category": question.category, "calls": [{call.name: call.arguments} for call in case.calls]}
    if not question.answers:
        return {"kind": "relevance", **row}
    return {
        "kind": "ast",
        **row,
        "functions": question.functions,
        "answers": question.answers,
        "language": question.language,
    }


class Difference(NamedTuple):
    """Two verdicts that are not the same."""

    id: str
    made: str
    ours: str
    theirs: str
    calls: list[Any]


def compare(
    given: Sequence[Case], theirs: Sequence[Mapping[str, Any]]
) -> tuple[Counter[str], list[Difference]]:
    """How many verdicts agree (right, wrong), how many do not, and where the reference raised."""
    counts: Counter[str] = Counter()
    differences = []
    for case, their in zip(given, theirs, strict=True):
        ours = case.question.judge(case.calls)
        counts["unbroken"] += case.made == "right"
        counts["unbroken and right"] += case.made == "right" and ours.right
        if their.get("valid") is ours.right:
            counts["right" if ours.right else "wrong"] += 1
            continue
        counts["raised" if "raised" in their else "different"] += 1
        told = their.get("raised") or f"{'right' if their['valid'] else 'wrong'} {their.get('error') or ''}"
        calls = [[call.name, call.arguments] for call in case.calls]
        differences.append(
            Difference(
                case.question.id,
                case.made,
                f"{'right' if ours.right else 'wrong'} {ours.fault or ''}",
                told,
                calls,
            )
        )
    return counts, differences


def asked_play(play: Play) -> dict[str, Any]:
    """A play as the reference is asked; all calls of a turn are one step."""
    scenario = play.scenario
    entry = {"id": scenario.id, "initial_config": scenario.config, "involved_classes": scenario.classes}
    calls = [[turn] if turn else [] for turn in play.turns]
    return {"kind": "multi_turn", "entry": entry, "calls": calls, "truth": scenario.truth}


def compare_plays(
    package: Path, given: Sequence[Play], theirs: Sequence[Mapping[str, Any]]
) -> tuple[Counter[str], list[Difference]]:
    """The same for scenarios of several turns."""
    counts: Counter[str] = Counter()
    differences = []
    with ApiProcess(package) as apis:
        for number, (play, their) in enumerate(zip(given, theirs, strict=True)):
            turns = [[[as_call(code) for code in turn]] if turn else [] for turn in play.turns]
            ours = judge_turns(play.scenario, turns, apis, str(number))
            counts["unbroken"] += play.made == "right"
            counts["unbroken and right"] += play.made == "right" and ours.right
            if their.get("valid") is ours.right:
                counts["right" if ours.right else "wrong"] += 1
                continue
            counts["raised" if "raised" in their else "different"] += 1
            told = (
                their.get("raised") or f"{'right' if their['valid'] else 'wrong'} {their.get('error') or ''}"
            )
            said = f"{'right' if ours.right else 'wrong'} {ours.fault} {ours.message}"
            differences.append(Difference(play.scenario.id, play.made, said, told, play.turns))
    return counts, differences


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=6, help="broken answers for each question")
    parser.add_argument("--categories", nargs="*", default=["all"])
    parser.add_argument("--differences", type=Path, help="a file for every difference, as JSON lines")
    arguments = parser.parse_args()
    package = bfcl_package()
    names = category_names(arguments.categories)
    with tempfile.TemporaryDirectory() as folder:
        python = reference_python(Path(folder) / "reference")
        total, differences = Counter[str](), []
        print(
            f"{'category':<24}{'answers':>8}{'right':>8}{'wrong':>8}{'raised':>8}{'different':>10}{'agreement':>11}{'unbroken':>12}"
        )
        for name in names:
            if name in SINGLE_TURN:
                given = [
                    case for q in read_questions(package, name) for case in cases(q, arguments.mutations)
                ]
                counts, found = compare(given, ask_reference(python, [asked(case) for case in given]))
            else:
                played = [p for scenario in read_scenarios(package, name) for p in plays(scenario, 3)]
                counts, found = compare_plays(
                    package, played, ask_reference(python, [asked_play(p) for p in played])
                )
            total += counts
            differences += found
            print(line(name, counts))
        print(line("all", total))
    for difference in differences:
        text = json.dumps(difference._asdict(), ensure_ascii=False)
        if arguments.differences:
            with arguments.differences.open("a", encoding="utf-8") as stream:
                stream.write(f"{text}\n")
        else:
            print(text)


def line(name: str, counts: Counter[str]) -> str:
    """A row of the table; answers on which the reference raises have no verdict of its to agree with."""
    judged = counts["right"] + counts["wrong"]
    all_of = judged + counts["different"] + counts["raised"]
    share = judged / (all_of - counts["raised"]) if all_of > counts["raised"] else 1.0
    cells = "".join(f"{counts[key]:>8,}" for key in ("right", "wrong", "raised"))
    unbroken = f"{counts['unbroken and right']}/{counts['unbroken']}"
    return f"{name:<24}{all_of:>8,}{cells}{counts['different']:>10,}{share:>11.3%}{unbroken:>12}"


if __name__ == "__main__":
    main()
