"""Scenarios of several turns with a model: it is asked until a turn is over, many scenarios at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.predictors.predict import predict
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor
from nlp_skills.evaluation.tool_use.api_process import ApiProcess, CodeCall
from nlp_skills.evaluation.tool_use.asking import shown
from nlp_skills.evaluation.tool_use.bfcl import Scenario
from nlp_skills.evaluation.tool_use.calls import Call, openai_calls
from nlp_skills.evaluation.tool_use.multi_turn import STEPS, Play, TurnVerdict
from nlp_skills.evaluation.tool_use.offered import offered_tools, original_calls
from nlp_skills.evaluation.tool_use.record import Calling
from nlp_skills.evaluation.tool_use.replies import read_reply

MORE_TOOLS = "More tools are available now. Please go on with what was not possible before."
"""What the user says in a turn that only brings tools; BFCL leaves the words to the program that asks."""


class Session:
    """One scenario: what has been said so far, and how it stands."""

    def __init__(self, scenario: Scenario, apis: ApiProcess, calling: Calling) -> None:
        self.scenario = scenario
        self.verdict: TurnVerdict | None = None
        """None while it goes on."""
        self.calls: list[list[Call]] = []
        """The calls of each turn."""
        self.answers: list[Answered] = []
        self.unreadable = False
        self._apis = apis
        self._play = Play(scenario, apis, scenario.id)
        self._calling: Calling = calling
        self._functions = list(scenario.functions)
        self._messages: list[Message] = []
        self._steps = 0
        self._begin_turn()

    def example(self) -> Example:
        """What the model is asked next."""
        asked = Example(
            meta=Meta(id=self.scenario.id, source=f"bfcl/{self.scenario.category}"),
            messages=[*self._messages, Message("assistant", "")],
            tools=offered_tools(self._functions),
        )
        return shown(asked, self._calling)

    def take(self, answered: Answered) -> None:
        """Go on with the model's answer."""
        self.answers.append(answered)
        reply = read_reply(answered.text)
        self.unreadable = self.unreadable or reply.unreadable
        try:
            if reply.calls:
                self._call(original_calls(reply.calls, self._functions))
            else:
                self._messages.append(Message("assistant", answered.text))
                self._end_turn()
        except RunFailed as error:
            self.verdict = TurnVerdict(False, "no_answer", str(error), self._play.turn)

    def close(self) -> None:
        """End the scenario's API classes."""
        self._apis.close()

    def _call(self, calls: list[Call]) -> None:
        said = openai_calls(calls, first=sum(map(len, self.calls)))
        self.calls[-1] += calls
        self._messages.append(Message("assistant", tool_calls=said))
        results = self._play.call([CodeCall(call.name, call.arguments) for call in calls])
        for call, result in zip(said, results, strict=True):
            name = call["function"]["name"]
            self._messages.append(Message("tool", result, tool_call_id=call["id"], name=name))
        self._steps += 1
        if self._steps > STEPS:
            told = f"more than {STEPS} answers with calls in one turn"
            self.verdict = TurnVerdict(False, "too_many_steps", told, self._play.turn)

    def _end_turn(self) -> None:
        verdict = self._play.end_turn()
        if not verdict.right or self._play.turn == len(self.scenario.turns):
            self.verdict = verdict
        else:
            self._begin_turn()

    def _begin_turn(self) -> None:
        turn = self._play.turn
        self._functions += self.scenario.held_back.get(turn, [])
        said = self.scenario.turns[turn] or [{"role": "user", "content": MORE_TOOLS}]
        self._messages += [Message(message["role"], message["content"]) for message in said]
        self.calls.append([])
        self._steps = 0


def play_scenarios(
    scenarios: Sequence[Scenario], predictor: Predictor, how: Decoding, calling: Calling, package: Path
) -> Iterator[Session]:
    """Every scenario played to its end, in order; as many at a time as rows are answered together."""
    for start in range(0, len(scenarios), how.batch_size):
        sessions = [
            Session(scenario, ApiProcess(package), calling)
            for scenario in scenarios[start : start + how.batch_size]
        ]
        try:
            while going := [session for session in sessions if session.verdict is None]:
                answers = predict(predictor, [session.example() for session in going], how)
                for session, answered in zip(going, answers, strict=True):
                    session.take(answered)
        finally:
            for session in sessions:
                session.close()
        yield from sessions
