"""The command line: every operation of OPERATIONS is a command, and results are tables or --json."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from nlp_skills.confirmation import spelled
from nlp_skills.errors import NlpSkillsError, NotValid, did_you_mean
from nlp_skills.operation import Operation
from nlp_skills.operations import OPERATIONS, find_operation

HOME = typer.Option(help="The tasks folder; else NLP_SKILLS_HOME, else ./tasks.", show_default=False)
JSON = typer.Option("--json", help="Print the result as JSON.")


class OperationCommand(TyperCommand):
    """A command whose errors are in plain words: typer repeats pydantic's "Value error, "."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class OperationCommands(TyperGroup):
    """Commands made from OPERATIONS; an operation's module is imported when its command is used, not for --help."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return [name for operation in OPERATIONS for name in (operation.command, operation.alias) if name]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        for operation in OPERATIONS:
            if cmd_name in (operation.command, operation.alias):
                return TyperCommand(
                    cmd_name, short_help=operation.summary, hidden=cmd_name == operation.alias
                )
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"No such command {args[0]!r}{did_you_mean(args[0], self.list_commands(ctx))}.")
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub and build_command(find_operation(stub.name or "")), rest


app = typer.Typer(
    cls=OperationCommands,
    name="nlp-skills",
    help="From a language task that goes wrong to a small model that is fine-tuned, measured and versioned.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def print_version(wanted: bool) -> None:
    """For --version, which needs no command beside it."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nlp-skills {version('nlp-skills')}")
        raise typer.Exit


VERSION = typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)


@app.callback()
def options(version: Annotated[bool, VERSION] = False) -> None:
    """From a language task that goes wrong to a small model that is fine-tuned, measured and versioned."""


def build_command(operation: Operation) -> Any:
    """The operation as a command: positional parameters are arguments, keyword-only ones options."""

    def run(**given: Any) -> None:
        home, as_json = given.pop("home"), given.pop("as_json")
        example = operation.settings_example(given)
        lists = {p.name: _items(p) for p in operation.parameters if _items(p) and p.name not in SENTENCES}
        given = {
            name: _split(name, value, lists[name])
            if name in lists and value
            else _value(name, value, example)
            for name, value in given.items()
        }
        run_operation(operation, home, given, as_json)

    run.__name__ = operation.name
    parameters = [_parameter(p, operation.meaning(p.name)) for p in operation.parameters]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters += [
        inspect.Parameter("home", keyword, default=None, annotation=Annotated[Path | None, HOME]),
        inspect.Parameter("as_json", keyword, default=False, annotation=Annotated[bool, JSON]),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    # Which exception is raised is for those who call the function.
    details = re.sub(
        r"\s*\bRaises\s+[A-Z].*?(?=\n\n|\Z)", "", inspect.getdoc(operation.function) or "", flags=re.S
    )
    info = CommandInfo(
        name=operation.command, cls=OperationCommand, callback=run, help=f"{operation.summary}\n\n{details}"
    )
    return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)


def _parameter(parameter: inspect.Parameter, about: str) -> inspect.Parameter:
    kind = parameter.annotation
    if get_origin(kind) is dict or any(get_origin(k) is dict for k in get_args(kind)):
        kind = list[str] | None
    if _items(parameter):
        kind = list[str] | None
        again = f"--{parameter.name.replace('_', '-')} again"
        about += f"; for several give {again}" + ("" if parameter.name in SENTENCES else ", or a,b")
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        extra: Any = typer.Option(help=about, show_default=parameter.default not in (None, False))
    else:
        extra = typer.Argument(metavar=parameter.name.upper(), help=about, show_default=False)
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, extra])


SENTENCES = ("changes",)
"""Lists whose values are prose: a comma belongs to it."""


def _items(parameter: inspect.Parameter) -> Any:
    """What a list holds; None for anything else."""
    kinds = (parameter.annotation, *get_args(parameter.annotation))
    return next((get_args(kind)[0] for kind in kinds if get_origin(kind) is list), None)


def _split(name: str, values: list[str], kind: Callable[[str], Any]) -> list[Any]:
    """Each value may hold several: `a,b`, or a YAML list."""
    from nlp_skills.data.sources.listed import read_list

    try:
        words = [word for value in values for word in read_list(value)]
    except NotValid as error:
        raise typer.BadParameter(f"--{name}: {error}") from None
    if wrong := [word for word in words if kind is int and not word.isdecimal()]:
        raise typer.BadParameter(f"--{name}: {wrong[0]!r} is no whole number.")
    return [kind(word) for word in words]


def _value(name: str, value: Any, example: str = "") -> Any:
    """`--settings name=value …` becomes a mapping; enums become their text."""
    if name == "settings" and value is not None:
        pairs = [item.partition("=") for item in value]
        if wrong := [name for name, sign, _ in pairs if not sign]:
            raise typer.BadParameter(
                f"--settings {wrong[0]}: name=value is expected, for example --settings {example}"
            )
        return {key.strip(): _setting(text) for key, _, text in pairs}
    return value


def _setting(text: str) -> Any:
    """Numbers, true and false, null, `[…]` and `{…}` as in YAML; everything else is text as it stands, such as a query."""
    import yaml

    if text.lstrip()[:1] not in tuple("[{'\"") and not re.fullmatch(r"[-+.\w]+", text.strip()):
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise typer.BadParameter(f"{text!r} is not readable as YAML; put text into quotes") from None
    return text if isinstance(value, date) else value


def run_operation(operation: Operation, home: Path | None, given: dict[str, Any], as_json: bool) -> None:
    """Run, show, and turn the library's errors into one line and an exit status."""
    from nlp_skills.records import to_json
    from nlp_skills.task.task import project_folder, tasks_folder

    place = tasks_folder(home)
    try:
        with spelled(_confirm()), progress_bar(quiet=as_json) as (progress, tell):
            within = project_folder(place) if _for_a_tool() else None
            result = operation.call(place, given, progress, tell, within)
    except (NlpSkillsError, OSError) as error:  # OSError: a full disk, a file without permission
        if as_json:
            # Bytes: on Windows a pipe would be written in the system's old encoding.
            sys.stdout.buffer.write(to_json({"error": type(error).__name__, "message": str(error)}))
            sys.stdout.flush()
        else:
            complain(f"Error: {error}")
        raise typer.Exit(2 if isinstance(error, NotValid) else 1) from None
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {operation.stopped}", err=True)
        raise typer.Exit(130) from None
    if as_json:
        sys.stdout.buffer.write(result.to_bytes())
        sys.stdout.flush()
    else:
        from nlp_skills.tables import show

        show(result)
    if getattr(result, "passed", True) is False:
        raise typer.Exit(1)
    if operation.step and not as_json:
        from nlp_skills.training.overview import show_task

        task = tasks_folder(home) / given["name" if operation.name == "create_task" else "task"]
        typer.echo(f"\nNext: {show_task(task).next}", err=True)


def _for_a_tool() -> bool:
    """Whether the MCP server asks: a tool of it stands behind this command."""
    return os.environ.get("NLP_SKILLS_PROGRESS") == "json"


def _confirm() -> str:
    """How whoever asks says yes: tools take a parameter."""
    return "confirm=true" if _for_a_tool() else "--confirm"


def complain(message: str) -> None:
    """One line on the error stream; a terminal gets it broken between words."""
    if not sys.stderr.isatty():
        typer.echo(message, err=True)
        return
    from rich.console import Console

    Console(stderr=True, highlight=False, markup=False, emoji=False).print(message)


Listeners: TypeAlias = tuple[Callable[[str, float, float | None], None], Callable[[str], None]]
"""Who hears of progress, and who reads the sentences."""


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Listeners]:
    """A bar on a terminal, lines elsewhere, JSON lines for the program that asks for them."""
    if _for_a_tool():
        yield report_as_json, lambda sentence: report_as_json(sentence, 0, None)
        return
    if quiet:  # of the bar; a server's address and key are said all the same
        yield unheard, lambda sentence: typer.echo(sentence, err=True)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)

    def tell(sentence: str) -> None:
        console.print(f"• {sentence}", highlight=False, markup=False)

    if not console.is_terminal:
        yield occasional_lines(), tell
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("", total=None, amount="")

        def update(message: str, done: float, total: float | None) -> None:
            if not message:
                bar.stop()
                return
            bar.start()
            task = bar.tasks[0]
            if done < task.completed or total != task.total:  # another piece of work, with a clock of its own
                bar.reset(shown)
                task.total = total
            bar.update(shown, description=message, completed=done, amount=_amount(done, total))

        yield update, tell


MANY = 10_000
"""From so many on a share says more than the number."""


def _amount(done: float, total: float | None) -> str:
    """`12,000`, `3/40`; of many (bytes, rows) `7 %`; nothing while neither is known."""
    if total is None:
        return f"{done:,.0f}" if done else ""
    if total >= MANY:
        return f"{100 * done / total:.0f} %"
    return f"{done:,.0f}/{total:,.0f}"


SILENCE = 30.0
"""Seconds: a log is told at most so often how far the work is."""


def occasional_lines() -> Callable[[str, float, float | None], None]:
    """Progress where there is no terminal: a line on the error stream every half minute, none for short work."""
    told = time.monotonic()

    def listen(message: str, done: float, total: float | None) -> None:
        nonlocal told
        if message and time.monotonic() - told >= SILENCE:
            told = time.monotonic()
            typer.echo(" ".join(part for part in (message, _amount(done, total)) if part), err=True)

    return listen


def unheard(message: str, done: float, total: float | None) -> None:
    """Progress that nobody looks at."""


def report_as_json(message: str, done: float, total: float | None) -> None:
    """A progress line for the program that started this one."""
    sys.stderr.write(json.dumps({"message": message, "done": done, "total": total}) + "\n")
    sys.stderr.flush()
