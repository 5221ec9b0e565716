"""Scenarios of several turns: are the state and the answers of the APIs those of the packaged calls?

    turn   user: "Move the report …"      the model calls, sees the answers, calls again … until it calls nothing more
           packaged calls                 the same turn on instances of their own
    check  every public attribute equal, every answer of the packaged calls seen by now

As bfcl-eval's multi_turn_checker.py. A turn without packaged calls lacks a tool or a parameter: what is called there
is run, and only its effect on later turns counts.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from nlp_skills.evaluation.tool_use.api_process import ApiProcess, CodeCall
from nlp_skills.evaluation.tool_use.bfcl import Scenario

STEPS = 20
"""Answers with calls that a turn may have; a model that still calls has lost its way."""


class TurnVerdict(NamedTuple):
    """Whether a turn, or a whole scenario, ended as it should; otherwise what is wrong."""

    right: bool
    fault: str = ""
    message: str = ""
    turn: int = 0


RIGHT = TurnVerdict(True)


class Play:
    """A scenario while it is played: the model's instances beside those of the packaged calls."""

    def __init__(self, scenario: Scenario, apis: ApiProcess, name: str) -> None:
        """`name` tells this play from others of the same scenario."""
        self.scenario = scenario
        self.turn = 0
        self._apis = apis
        self._model, self._truth = f"{name} model", f"{name} truth"
        self._seen: Counter[str] = Counter()
        self._called = False
        for key in (self._model, self._truth):
            apis.open(key, scenario)

    def call(self, calls: Sequence[CodeCall]) -> list[str]:
        """What the APIs answer to a step's calls. Raises RunFailed where one does not come back."""
        results = self._apis.run(self._model, calls)
        self._seen.update(results)
        self._called = self._called or bool(calls)
        return results

    def end_turn(self) -> TurnVerdict:
        """Make the packaged calls of the turn, and compare."""
        turn, truth = self.turn, self.scenario.truth[self.turn]
        expected = self._apis.run(self._truth, [as_call(code) for code in truth])
        called, self._called = self._called, False
        self.turn += 1
        if not truth:
            return RIGHT
        if not called:
            return TurnVerdict(False, "no_call", "nothing is called", turn)
        for name, attributes in self._apis.differences(self._model, self._truth).items():
            attribute, (ours, theirs) = next(iter(attributes.items()))
            message = f"{name}.{attribute} is {ours:.80}, {theirs:.80} expected"
            return TurnVerdict(False, "wrong_state", message, turn)
        missing = Counter(expected) - self._seen
        if missing:
            return TurnVerdict(False, "missing_response", f"never seen: {next(iter(missing)):.120}", turn)
        return RIGHT

    def close(self) -> None:
        """Give the instances back."""
        self._apis.forget(self._model, self._truth)


def judge_turns(
    scenario: Scenario, turns: Sequence[Sequence[Sequence[CodeCall]]], apis: ApiProcess, name: str
) -> TurnVerdict:
    """The verdict over calls that are all known: by turn, by step. Raises RunFailed where a call does not come back."""
    play = Play(scenario, apis, name)
    try:
        for steps in turns:
            for calls in steps:
                play.call(calls)
            verdict = play.end_turn()
            if not verdict.right:
                return verdict
        return RIGHT
    finally:
        play.close()


def as_call(code: str) -> CodeCall:
    """A packaged call: literals only, some without their parameter's name."""
    call = ast.parse(code, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"{code!r} is no call")
    positional = [ast.literal_eval(value) for value in call.args]
    arguments = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    return CodeCall(call.func.id, arguments, positional)
