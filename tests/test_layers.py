"""Imports point one way, and a shell starts without what only a training needs.

Proved over the syntax tree, so that imports inside functions count too.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nlp_skills
from nlp_skills.operations import OPERATIONS

LIBRARY = Path(nlp_skills.__file__).parent

LAYERS = (
    "errors",
    "confirmation",
    "yaml_edit",
    "records",
    "locks",
    "base_model",
    "fetched_package",
    "own_environment",
    "page",
    "task",
    "data",
    "training",
    "evaluation",
    "deployment",
    "pipeline",
    "parameters",
    "operation",
    "operations",
    "shells",
)
"""Each may use those before it, and itself."""

SHELLS = ("cli", "mcp_server", "hooks", "tables", "__main__")

METHOD_FILES = {
    file.relative_to(LIBRARY).as_posix()
    for file in (LIBRARY / "training" / "methods").glob("*.py")
    if file.name != "__init__.py"
}
"""A method's module is imported when a run begins."""

HEAVY: dict[str, set[str]] = {
    **dict.fromkeys(("torch", "transformers", "trl"), METHOD_FILES),
    "mcp": {"mcp_server.py"},
    **{
        name: set()
        for name in "accelerate anthropic datasets ftfy huggingface_hub loky lxml numpy ollama openai peft protego"
        " psycopg py3langid pyarrow python_calamine ray rensa safetensors scipy sklearn sqlalchemy stdnum trafilatura"
        " zstandard".split()
    },
}
"""Package → the only files that may import it when they are imported themselves."""

BANNED = {"utils", "util", "helpers", "helper", "core", "common", "service", "services", "manager", "misc"}

TEMPLATE = LIBRARY / "task" / "template" / "files"
"""What a new task gets: scripts that use the library from outside."""

FILES = sorted(file for file in LIBRARY.rglob("*.py") if not file.is_relative_to(TEMPLATE))


def name_of(file: Path) -> str:
    return file.relative_to(LIBRARY).as_posix()


def layer_of(module: str) -> str:
    """`task.template` → task; the package itself is a door like the shells."""
    first = module.partition(".")[0]
    return "shells" if first in SHELLS or not first else first


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(LIBRARY).with_suffix("").parts).removesuffix("__init__").strip(".")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every absolute module name that is imported anywhere, with its line; `import_module("…")` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "nlp_skills":
                yield from ((f"nlp_skills.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def executed_at_import(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: everything outside functions and TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_type_checking(node):
            continue
        if isinstance(node, ast.stmt):
            yield node
        yield from executed_at_import(node)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_module_uses_only_the_stages_before_its_own(file: Path):
    module = module_of(file)
    own = LAYERS.index(layer_of(module))
    wrong = [
        f"line {line}: {module} ({LAYERS[own]}) imports {used}"
        for used, line in imports(ast.parse(file.read_text(encoding="utf-8")))
        if used.startswith("nlp_skills.") and LAYERS.index(layer_of(used.removeprefix("nlp_skills."))) > own
    ]
    assert wrong == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_heavy_packages_are_imported_only_inside_the_function_that_needs_them(file: Path):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = [
        (used.split(".")[0], line)
        for node in executed_at_import(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for used, line in imports(node)
    ]
    wrong = [
        f"line {line}: {package}"
        for package, line in top
        if name_of(file) not in HEAVY.get(package, {name_of(file)})
    ]
    assert wrong == []


def test_every_file_belongs_to_a_layer_and_none_is_a_drawer_for_odds_and_ends():
    assert {layer_of(module_of(file)) for file in FILES} <= {*LAYERS}
    assert {part for file in FILES for part in module_of(file).split(".")} & BANNED == set()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_function_of_every_operation_stands_in_the_module_that_is_named(operation):
    file = LIBRARY.joinpath(*operation.module.split(".")).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert operation.name in defined
    assert LAYERS.index(layer_of(operation.module)) < LAYERS.index("operations")


def test_operations_are_named_once():
    names = [name for o in OPERATIONS for name in (o.name, o.alias) if name]
    assert len(set(names)) == len(names)


SLOW = ("torch", "transformers", "trl", "peft", "datasets", "sqlalchemy", "sklearn", "pyarrow", "numpy")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("nlp_skills", (*SLOW, "mcp", "typer", "pydantic", "yaml")),
        ("nlp_skills.operations", (*SLOW, "mcp", "typer", "rich")),
        ("nlp_skills.cli", (*SLOW, "mcp")),
        ("nlp_skills.mcp_server", SLOW),
    ],
)
def test_a_shell_starts_without_what_only_the_work_needs(module: str, absent: tuple[str, ...]):
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(ran.stdout)) & {*absent} == set()
