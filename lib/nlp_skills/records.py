"""A record is a frozen value that lives in exactly one file.

People edit YAML, programs write JSON; which of the two a record is, its file name says.
Writes are atomic: temporary file in the same folder, fsync, rename. A kill at any moment
leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias, TypeGuard, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nlp_skills.errors import NotFound, NotValid, did_you_mean

Progress: TypeAlias = Callable[[str, float, float | None], None]
"""`progress(message, done, total)`: called by long operations; total is None while unknown.

An empty message: nothing is waited for any more, and what follows has the terminal to itself.
"""

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _YamlLoader(_SafeLoader):
    """YAML without its date type: `created: 2026-11-21` is text, with and without quotes."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }


class _YamlDumper(yaml.SafeDumper):
    """The emitter in Python: LibYAML's escapes what lies beyond U+FFFF (emoji, rare characters)."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Only double quotes escape Unicode's own line ends, which a reader would fold."""
        style = '"' if any(end in data for end in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_YamlDumper.add_representer(str, _YamlDumper.represent_str)

_DEEPEST = 500
"""No record nests deeper; LibYAML's composer runs out of stack at some 10,000 levels and takes the process along."""


SECRET = "secret"
"""The type of a validation error whose input is never shown."""


def silent(message: str, done: float, total: float | None) -> None:
    """The progress listener that nobody watches."""


def now() -> str:
    """The time in UTC to the second, ISO 8601: `2026-11-21T08:00:00Z`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Record(BaseModel):
    """A frozen pydantic value with `load`, `save` and `digest`; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the record's file. Raises NotFound, or NotValid naming file, field and cure."""
        value = read_mapping(path)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            told = _with_lines(error, cls, value, path) if path.suffix in YAML_SUFFIXES else None
            raise NotValid(told or f"{path}: {describe(error, cls, value)}") from None

    @classmethod
    def parse(cls, value: Any, where: Path | str) -> Self:
        """Validate a plain mapping; `where` is named in the error."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise NotValid(f"{where}: {describe(error, cls, value)}") from None

    def save(self, path: Path) -> Self:
        """Write the record atomically as YAML or JSON, by the file's suffix.

        In a YAML file that is there already only what differs is changed: its comments, its order
        and its way of writing are a person's.
        """
        write_atomic(path, self._edited(path) or self.to_bytes(path.suffix))
        return self

    def _edited(self, path: Path) -> bytes | None:
        """The YAML file with this value's differences; None where there is no such file that could be kept."""
        if path.suffix not in YAML_SUFFIXES or not path.is_file():
            return None
        from ruamel.yaml.error import YAMLError

        from nlp_skills.yaml_edit import edit_yaml

        try:
            before = type(self).load(path)
        except NotValid:
            return None
        if before == self:
            return path.read_bytes()
        old, new = (value.model_dump(mode="json", exclude_defaults=True) for value in (before, self))
        text = path.read_bytes().decode("utf-8-sig")
        try:
            edited = edit_yaml(text, old, new).encode("utf-8")
        except YAMLError:  # it reads YAML 1.2, strictly
            return None
        return edited if self._reads_back(edited, path) else None

    def _reads_back(self, written: bytes, path: Path) -> bool:
        try:
            return type(self).parse(_load_yaml(written.decode("utf-8")), path) == self
        except (NotValid, yaml.YAMLError, ValueError):
            return False

    def to_bytes(self, suffix: str = ".json") -> bytes:
        """The file's bytes: the same value gives the same bytes."""
        plain = self.model_dump(mode="json", exclude_none=suffix in YAML_SUFFIXES)
        return to_yaml(plain) if suffix in YAML_SUFFIXES else to_json(plain)

    def digest(self) -> str:
        """The identity of the value: SHA-256 of its JSON bytes, in hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def brief(self) -> Self:
        """The value as a tool gives it to an assistant; a record that may grow long shortens itself there."""
        return self

    def with_changes(self, **changes: Any) -> Self:
        """A copy with some fields replaced, validated again."""
        return type(self).parse({**self.model_dump(mode="json"), **changes}, "the changed value")


YAML_SUFFIXES = (".yaml", ".yml")


def to_yaml(value: Any) -> bytes:
    """YAML for people: block style, keys in the order of the record, non-ASCII as it is."""
    text = yaml.dump(value, Dumper=_YamlDumper, sort_keys=False, allow_unicode=True, width=110)
    return text.encode("utf-8")


def to_json(value: Any) -> bytes:
    """JSON for programs: two spaces, non-ASCII as it is, a newline at the end."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8")


def read_mapping(path: Path) -> Any:
    """Parse a YAML or JSON file. Raises NotFound or NotValid with line and column."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} does not exist.") from None
    except IsADirectoryError:
        raise NotValid(f"{path} is a folder where a file is expected.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotValid(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    try:
        return _load_yaml(text) if path.suffix in YAML_SUFFIXES else json.loads(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise NotValid(f"{place}: not valid YAML: {problem}. Check indentation and quotes there.") from None
    except (ValueError, RecursionError) as error:
        kind = "YAML" if path.suffix in YAML_SUFFIXES else "JSON"
        raise NotValid(f"{path}: not valid {kind}: {error}.") from None


def _load_yaml(text: str) -> Any:
    if len(text) > 4 * _DEEPEST:  # what is shorter cannot be deep enough to do harm
        depth = 0
        for event in yaml.parse(text, Loader=_YamlLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                raise ValueError(f"nested deeper than {_DEEPEST} levels")
    return yaml.load(text, Loader=_YamlLoader)


def describe(error: ValidationError, record: type[BaseModel], value: Any = None) -> str:
    """The first few problems of a validation, each with its field and its cure; `value` is what was validated."""
    return _joined(error, [problem for _, problem in _problems(error, record, value)])


def _with_lines(error: ValidationError, record: type[BaseModel], value: Any, path: Path) -> str | None:
    """The same for a YAML file, each with its line; None where the file is empty, or no longer what was read."""
    from nlp_skills.yaml_edit.places import line_of

    problems = _problems(error, record, value)
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = [line_of(text, location, _YamlLoader) for location, _ in problems]
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    if None in lines:
        return None
    told = [f"line {line}: {problem}" for line, (_, problem) in zip(lines, problems, strict=True)]
    return f"{path}, {_joined(error, told)}"


def _joined(error: ValidationError, problems: list[str]) -> str:
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def _problems(
    error: ValidationError, record: type[BaseModel], value: Any
) -> list[tuple[tuple[int | str, ...], str]]:
    """The first few, each with its place."""
    problems = []
    for item in error.errors()[:5]:
        place, owner = _place(record, item["loc"])
        field = _spoken(place, value) or "the whole value"
        if item["type"] == "extra_forbidden":
            known = list(owner.model_fields)
            problems.append(f"{field}: unknown field{did_you_mean(str(item['loc'][-1]), known)}")
        elif item["type"] == "missing":
            problems.append(f"{field}: missing")
        elif item["type"] in _UNTOLD:
            known = [str(kind.model_fields["type"].default) for kind in _choices(record, item["loc"])]
            said = item.get("ctx", {}).get("tag")
            told = "missing" if said is None else f"there is no type {said!r}{did_you_mean(said, known)}"
            about = _spoken(place if said is not None and place else [*place, "type"], value)
            problems.append(f"{about}: {told}; choose from: {', '.join(known)}")
        elif item["type"] in _UNNAMED:
            told = _unnamed(item.get("input"), _choices(record, item["loc"]))
            problems.append(f"{field}: {told}" if place else told)
        else:
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] != SECRET:  # it begins with a name that is somebody's
                message = f"{message[:1].lower()}{message[1:]}"
            hidden = item["type"] == SECRET or _is_hidden(record, item["loc"])
            given = None if hidden else item.get("input")
            shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
            about = (
                f"{field}: " if item["loc"] or item["type"] != "value_error" else ""
            )  # it names its fields
            if item["type"] in _TOO_MUCH:
                shown += _share(given, owner, item["loc"])
            problems.append(f"{about}{message}{shown}")
    places = [item["loc"] for item in error.errors()[:5]]
    return [
        # What concerns several fields names the one to look at first.
        (place or tuple(part for part in problem.split(":")[:1] if part in record.model_fields), problem)
        for place, problem in zip(places, problems, strict=True)
    ]


_TOO_MUCH = ("less_than", "less_than_equal")


def _share(given: Any, owner: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """` (did you mean 0.8?)` for 80 where a number up to 1 is wanted; otherwise an empty string."""
    field = owner.model_fields.get(str(location[-1])) if location else None
    limits = (
        [getattr(part, "le", None) or getattr(part, "lt", None) for part in field.metadata] if field else []
    )
    if 1 not in limits or not isinstance(given, int | float) or not 1 < given <= 100:
        return ""
    return f" (did you mean {given / 100:g}?)"


def _spoken(place: list[str], value: Any) -> str:
    """`sources.0.query` as a person says it: `source news: query`, or `source 1: query` where it has no name."""
    items: list[str] = []
    fields: list[str] = []
    for part in place:
        inside = value.get(part) if isinstance(value, Mapping) else None
        if part.isdecimal() and fields and (value is None or isinstance(value, list)):
            inside = value[int(part)] if isinstance(value, list) and int(part) < len(value) else None
            name = inside.get("name") if isinstance(inside, Mapping) else None
            kind = fields.pop().removesuffix("s")
            items.append(".".join([*fields, f"{kind} {name if isinstance(name, str) else int(part) + 1}"]))
            fields = []
        else:
            fields.append(part)
        value = inside
    return ": ".join([*items, *([".".join(fields)] if fields else [])])


_UNTOLD = ("union_tag_invalid", "union_tag_not_found")
"""A record of several kinds that does not say which it is, or says one that there is not."""
_UNNAMED = ("model_type", "model_attributes_type")
"""Something else stands where a record is expected."""


def _choices(record: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The kinds of record that may stand at a place."""
    owner, inside = record, [record]
    for part in location:
        field = owner.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            inside = _records_in(field.annotation)
            owner = inside[0] if len(inside) == 1 else owner
    return inside


def _unnamed(given: Any, kinds: list[type[BaseModel]]) -> str:
    """What stands in the place of a record, and what belongs there."""
    told = "it is empty" if given is None or given == "" else "it holds no fields"
    if len(kinds) > 1:
        return f"{told}; write there type: and the fields of that type"
    fields = kinds[0].model_fields
    needed = [name for name, part in fields.items() if part.is_required()]
    return f"{told}; write there {', '.join(f'{name}:' for name in needed or list(fields)[:1])} …"


def _place(record: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """A location as a person reads it (`sources.0.query`), and the record that its last part stands in.

    Where a field holds one of several records, pydantic also names the chosen one's `type`; people do not.
    """
    place: list[str] = []
    choices: dict[str, type[BaseModel]] = {}
    owner = record
    for part in location:
        if part in choices:
            owner, choices = choices[str(part)], {}
            continue
        place.append(str(part))
        field = owner.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue  # an index of a list, or a field that is not known
        inside = _records_in(field.annotation)
        choices = {
            str(kind.model_fields["type"].default): kind for kind in inside if "type" in kind.model_fields
        }
        if len(inside) == 1:
            owner, choices = inside[0], {}
    return place, owner


def _is_hidden(record: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Whether what stands there is never shown: in a field with repr=False, and in no record inside it."""
    hidden, owner = False, record
    for end, part in enumerate(location, start=1):
        inside = _place(record, location[:end])[1]
        if inside is not owner:
            hidden, owner = False, inside
        field = inside.model_fields.get(part) if isinstance(part, str) else None
        hidden = hidden or (field is not None and not field.repr)
    return hidden


def _records_in(annotation: Any) -> list[type[BaseModel]]:
    if _is_record(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _records_in(part)]


def _is_record(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if path.is_file():
            shutil.copymode(path, temporary)
        _replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def unfinished(path: Path) -> Path:
    """A hidden name of its own beside `path`, to be renamed when it is whole.

    tempfile would make it private; here the user's umask decides, as for any file.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def clear_unfinished(path: Path) -> None:
    """Remove what killed processes left under such names; for who alone writes `path` at this moment."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """Rename over what is there. Windows refuses while somebody reads the old file, so it is tried for a second."""
    for _ in range(20):
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(0.05)
    temporary.replace(path)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's content in one step."""
    with atomic_file(path) as stream:
        stream.write(data)


def sync_folder(folder: Path) -> None:
    """Make a rename durable where the system can (POSIX); elsewhere the rename alone stands."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes in hex, read in constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_tree(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of a folder, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def write_lines(path: Path, rows: Iterable[bytes]) -> int:
    """Write rows as lines, atomically; returns how many."""
    count = 0
    with atomic_file(path) as stream:
        for row in rows:
            stream.write(row + b"\n")
            count += 1
    return count
