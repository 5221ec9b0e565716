"""A scripted talk with the coach: the tools once, the words in several languages.

    situation: training failed             the row of references/situations.md
    languages: [en, ja]
    files: {tickets.csv: banking}          laid in the project before the first session (conversation_start.py)
    sessions:                              each a session of the client, in the same folder
      - - user: {en: …, ja: …}             what the user says
          calls:                           what the coach does, in order; a result has to show what the coach goes by
            - {call: show_task, with: {task: tickets}, shows: ['"next":']}
            - {call: start_training, with: {task: tickets}, fails: the target modules …}
          coach: {en: …, ja: …}            what it says at the end of its turn

A mapping whose keys are the languages stands for the value of the language that is played.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from nlp_skills.operations import OPERATIONS
from nlp_skills.records import now

PREFIX = "mcp__plugin_nlp-skills_lib__"
TOOLS = {operation.name for operation in OPERATIONS if operation.tool}
FIGURE = re.compile(r"(?<![A-Za-z\d_.])\d+(?:\.\d+)?(?![A-Za-z\d_])")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Call(Strict):
    call: str
    """An operation, or a tool of the client's own."""
    given: Annotated[dict[str, Any], Field(alias="with")] = {}
    shows: list[str] = []
    """Patterns; the result has all of them."""
    fails: str | None = None
    """A pattern of the error, where one is meant to come."""

    @property
    def tool(self) -> str:
        return PREFIX + self.call if self.call in TOOLS else self.call

    @property
    def notes(self) -> str:
        """What the coach writes for people, where that is what the call does."""
        written = self.given.get("content") or self.given.get("new_string") or ""
        return written if str(self.given.get("file_path")).endswith(".md") else ""

    @property
    def input(self) -> dict[str, Any]:
        """As the client takes it: its files have absolute paths."""
        path = self.given.get("file_path")
        return {**self.given, "file_path": f"{{{{project}}}}/{path}"} if path else self.given

    def disagrees(self, made: dict[str, Any]) -> list[str]:
        """In what a call that was made is another one than this."""
        said = made["result"] or ""
        faults = [] if made["name"] == self.tool else [f"{made['name']} was called"]
        if made["is_error"] is not (self.fails is not None):
            faults.append("an error" if made["is_error"] else "no error")
        patterns = [*self.shows, *([self.fails] if self.fails else [])]
        faults += [f"nothing like {pattern!r}" for pattern in patterns if not re.search(pattern, said)]
        return [f"{self.call}: {fault} in: {said}" for fault in faults]


class Exchange(Strict):
    user: str
    calls: list[Call] = []
    coach: str


class Conversation(Strict):
    situation: str
    languages: list[str]
    files: dict[str, str] = {}
    start: str | None = None
    sessions: Annotated[list[list[Exchange]], Field(min_length=2)]


def languages_of(file: Path) -> list[str]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))["languages"]


def read_conversation(file: Path, language: str) -> Conversation:
    """The conversation in one language; {{today}} is today."""
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    languages = set(said["languages"])

    def spoken(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{{today}}", today())
        if isinstance(value, dict):
            return (
                spoken(value[language])
                if set(value) == languages
                else {k: spoken(v) for k, v in value.items()}
            )
        return [spoken(one) for one in value] if isinstance(value, list) else value

    return Conversation.model_validate(spoken(said))


def today() -> str:
    return now()[:10]


def scenario_of(session: list[Exchange]) -> dict[str, Any]:
    """The session as the harness plays it."""
    turns: list[dict[str, Any]] = []
    for exchange in session:
        turns += [{"tool": call.tool, "input": call.input} for call in exchange.calls]
        turns.append({"text": exchange.coach})
    return {"prompts": [exchange.user for exchange in session], "turns": turns, "timeout": 900}


def faults_of(session: list[Exchange], report: dict[str, Any]) -> list[str]:
    """Where the session went another way than it is written, and figures that the coach has from nowhere."""
    # The client looks a tool's definition up before its first use.
    made = [one for one in report["tool_calls"] if one["name"] != "ToolSearch"]
    calls = [call for exchange in session for call in exchange.calls]
    faults = [] if len(made) == len(calls) else [f"{len(made)} calls were made, and {len(calls)} are written"]
    for call, one in zip(calls, made, strict=False):
        faults += call.disagrees(one)
    return [*report["failures"], *faults, *_unfounded(session, made)]


def _unfounded(session: list[Exchange], made: list[dict[str, Any]]) -> list[str]:
    """Figures in what the coach says and notes that neither the user nor a tool has told before."""
    told, results, faults = "", iter(made), []
    for exchange in session:
        told += exchange.user
        for call, one in zip(exchange.calls, results, strict=False):
            if call.notes:
                faults += [
                    f"in {call.given['file_path']}: {n} comes from nowhere" for n in new(call.notes, told)
                ]
            told += f"\n{json.dumps(call.given, ensure_ascii=False)}\n{one['result']}\n"
        faults += [f"the coach says {n}, which comes from nowhere" for n in new(exchange.coach, told)]
    return faults


def new(said: str, told: str) -> list[str]:
    """The figures that were not told: neither so, nor rounded, nor as percent."""
    known = {float(figure) for figure in FIGURE.findall(DATE.sub("", told))}
    known |= {100 * figure for figure in known if abs(figure) <= 1} | {figure / 100 for figure in known}
    return [
        figure
        for figure in FIGURE.findall(DATE.sub("", said))
        if not any(f"{one:.{len(figure.partition('.')[2])}f}" == figure for one in known)
    ]
