"""One thing that can be done: a typed function, and how the shells show it.

    name in Python    validate_data(task: Path, …) -> ValidationReport
    on the CLI        nlp-skills validate-data TASK
    as an MCP tool    mcp__plugin_nlp-skills_lib__validate_data

Nothing is imported until the operation is used.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from nlp_skills.parameters import PARAMETERS

if TYPE_CHECKING:
    from nlp_skills.records import Progress

GIVEN_BY_THE_SHELL = ("home", "within", "progress", "tell")


@dataclass(frozen=True)
class Operation:
    """One thing that can be done."""

    name: str
    module: str
    summary: str
    """One line, in the words of the people who look for it: shown by --help, in the docs, and to assistants."""
    words: str = ""
    """Other words that people use for it; tool search is lexical."""
    tool: bool = True
    """Whether an assistant needs it; otherwise it is a command for people only."""
    heavy: bool = False
    """Loads torch: the MCP server runs it in a process of its own."""
    step: bool = False
    """A step on the way from data to a result: the command line says which comes next."""
    alias: str | None = None
    """A second, shorter command name."""
    stopped: str = (
        "What was finished is kept. Go on with the same command (after start: nlp-skills run TASK)."
    )
    """What is true for whoever interrupts it, and the next step."""

    @property
    def command(self) -> str:
        """The CLI's spelling."""
        return self.name.replace("_", "-")

    @property
    def function(self) -> Callable[..., Any]:
        """The operation itself; imports its module."""
        return getattr(import_module(f"nlp_skills.{self.module}"), self.name)

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """What a caller gives, with real types: `task` is a name, `home` and `progress` are the shell's."""
        hints = get_type_hints(self.function)
        found = []
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name in GIVEN_BY_THE_SHELL:
                continue
            kind = hints[parameter.name]
            is_task = parameter.name == "task" and kind is Path
            found.append(parameter.replace(annotation=str if is_task else kind))
        return found

    def meaning(self, parameter: str) -> str:
        """What one of its parameters means, for the person or the assistant who fills it in."""
        return PARAMETERS.get(f"{self.name} {parameter}") or PARAMETERS[parameter]

    def settings_example(self, arguments: dict[str, Any]) -> str:
        """`name=value` as its settings are written; where its module knows several types, of the one that is asked for."""
        examples = getattr(import_module(f"nlp_skills.{self.module}"), "SETTINGS_EXAMPLES", {})
        return examples.get(arguments.get("type"), "lora_dropout=0.05")

    def call(
        self,
        home: Path,
        arguments: dict[str, Any],
        progress: Progress,
        tell: Callable[[str], None],
        within: Path | None = None,
    ) -> Any:
        """Run it: resolve the task's name below `home`, and pass what the function takes.

        `within` is the folder that a path to write to has to lie in: an assistant's project; None: a person's own affair.
        """
        from nlp_skills.task.task import find_task

        shell = {"home": home, "within": within, "progress": progress, "tell": tell}
        takes = get_type_hints(self.function)
        given = {**arguments, **{name: value for name, value in shell.items() if name in takes}}
        if takes.get("task") is Path:
            given["task"] = find_task(home, given["task"])
        return self.function(**given)
