"""The templates that a TEMPLATE defines for itself: trimming, and JSON as Python writes it.

Go's own `json` writes no blanks after `,` and `:` and escapes `<`, `>` and `&`; a model that was trained on Python's
JSON has never seen that. Go's templates have no `trim` either. Both can be said by templates that call themselves.
"""

from __future__ import annotations

from typing import TypeAlias

from nlp_skills.deployment.go_template.go_words import quoted

BLANKS = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))))
BLANKS += "\u2028\u2029\u202f\u205f\u3000"
"""What Python's str.strip takes away."""

_PIECE = 64
"""Bytes that are looked at together; a template calls itself once for each piece of a text."""

Order: TypeAlias = dict[str, tuple[str, ...]]

ORDER: Order = {
    "function": ("name", "description", "parameters"),
    "parameters": ("type", "properties", "required", "items", "$defs"),
    "property": ("type", "description", "enum", "items", "properties", "required", "anyOf"),
}
"""The order in which a tool's keys are written where no tool shows another."""


def strip_name(side: str, characters: str | None) -> str:
    """The name of a strip template: strip, lstrip, rstrip, and what it takes away if that is not blanks."""
    return side if characters is None else f"{side}_{characters.encode().hex()}"


def definition(name: str, order: Order) -> tuple[str, list[str]]:
    """The text of a template and the names of those that it calls."""
    kind, _, rest = name.partition("_")
    if kind in ("strip", "lstrip", "rstrip"):
        body, called = _strip(name, kind, bytes.fromhex(rest).decode() if rest else BLANKS), []
    elif kind == "escaped":
        body, called = _ESCAPED, []
    elif kind == "plain":
        body, called = _PLAIN, ["any_0_0"]
    else:
        *kinds, indent, level = name.split("_")
        body, called = _Json(int(indent), int(level), order).write(*kinds)
    return f'{{{{ define "{name}" }}}}{body}{{{{ end }}}}', called


def literal(text: str) -> str:
    """Text as it stands between Go's actions, and in a Modelfile between three quotes."""
    found = []
    for place, character in enumerate(text):
        doubtful = (character == "{" and text[place + 1 : place + 2] in ("", "{")) or text[
            place - 2 : place + 1
        ] == '"""'
        shown = character.isprintable() or character in "\n\t "
        found.append(character if shown and not doubtful else f"{{{{ {quoted(character)} }}}}")
    return "".join(found)


def _strip(name: str, side: str, characters: str) -> str:
    by_size: dict[int, list[str]] = {}
    for character in characters:
        by_size.setdefault(len(character.encode()), []).append(quoted(character))
    tests = []
    for size, found in by_size.items():
        there = f"and (ge (len .) {size})"
        if side != "rstrip":
            tests.append((f"{there} (eq (slice . 0 {size}) {' '.join(found)})", f"slice . {size}"))
        if side != "lstrip":
            rest = f"len (slice . {size})"
            tests.append((f"{there} (eq (slice . ({rest})) {' '.join(found)})", f"slice . 0 ({rest})"))
    branches = [f'if {test} }}}}{{{{ template "{name}" ({rest}) }}}}' for test, rest in tests]
    return "{{ " + "{{ else ".join(branches) + "{{ else }}{{ . }}{{ end }}"


_ESCAPED = (
    f'{{{{ if gt (len .) {_PIECE} }}}}{{{{ template "escaped" (slice . 0 {_PIECE}) }}}}'
    f'{{{{ template "escaped" (slice . {_PIECE}) }}}}'
    '{{ else if eq (json .) (printf "\\"%s\\"" .) }}{{ . }}'
    '{{ else if gt (len .) 1 }}{{ template "escaped" (slice . 0 1) }}{{ template "escaped" (slice . 1) }}'
    '{{ else if or (ge (index . 0) 128) (eq . "<" ">" "&") }}{{ . }}'
    '{{ else if eq . "\\u0008" }}\\b{{ else if eq . "\\u000c" }}\\f'
    "{{ else }}{{ slice (json .) 1 (len (slice (json .) 1)) }}{{ end }}"
)
"""A piece that needs no escape is written whole; a byte of a longer character is no text of its own and passes."""

_PLAIN = (
    '{{ $type := printf "%T" . }}{{ if eq $type "string" }}{{ . }}'
    '{{ else if eq $type "bool" }}{{ if . }}True{{ else }}False{{ end }}'
    '{{ else if eq $type "<nil>" }}None{{ else }}{{ template "any_0_0" . }}{{ end }}'
)
"""A value as Python's str() writes it; lists and mappings are written as JSON."""

_DEEPEST = 9
"""Indented JSON is written to this depth; what lies deeper is indented as if it lay here."""

_Key = tuple[str, str, str]
"""A key, where it is written, its value."""


class _Json:
    """Writes one kind of value, with json.dumps' blanks and indentation, at one depth."""

    def __init__(self, indent: int, level: int, order: Order) -> None:
        self._indent, self._level, self._order = indent, level, order
        self._called: list[str] = []

    def write(self, kind: str, of: str = "") -> tuple[str, list[str]]:
        """The body for a kind of value, and what it calls."""
        body = self._list(of) if kind == "list" else getattr(self, f"_{kind}")()
        return body, self._called

    def _line(self, deeper: int) -> str:
        return "\n" + " " * self._indent * (self._level + deeper) if self._indent else ""

    @property
    def _comma(self) -> str:
        return "," + (self._line(1) or " ")

    def _call(self, kind: str, value: str, deeper: int = 1) -> str:
        level = min(self._level + deeper, _DEEPEST) if self._indent else 0
        name = kind if kind == "escaped" else f"{kind}_{self._indent}_{level}"
        self._called.append(name)
        return f'{{{{ template "{name}" {value} }}}}'

    def _text(self, value: str) -> str:
        return literal('"') + self._call("escaped", value) + '"'

    def _any(self) -> str:
        return (
            '{{ $type := printf "%T" . }}{{ if eq $type "string" }}'
            + self._text(".")
            + '{{ else if eq (printf "%.3s" $type) "map" }}'
            + self._call("map", ".", 0)
            + '{{ else if eq (printf "%.2s" $type) "[]" }}'
            + self._call("list_any", ".", 0)
            + "{{ else }}{{ json . }}{{ end }}"
        )

    def _map(self) -> str:
        return self._mapping("any")

    def _properties(self) -> str:
        return self._mapping("property")

    def _mapping(self, kind: str) -> str:
        each = self._text("$key") + ": " + self._call(kind, "$value")
        return self._sequence("{", "}", "$key, $value := .", each)

    def _list(self, kind: str) -> str:
        return self._sequence("[", "]", "$value := .", self._call(kind, "$value"))

    def _sequence(self, opening: str, closing: str, over: str, each: str) -> str:
        return (
            f"{{{{ if . }}}}{literal(opening + self._line(1))}{{{{ $more := false }}}}{{{{ range {over} }}}}"
            f"{{{{ if $more }}}}{self._comma}{{{{ end }}}}{{{{ $more = true }}}}{each}{{{{ end }}}}"
            f"{self._line(0)}{closing}{{{{ else }}}}{literal(opening)}{closing}{{{{ end }}}}"
        )

    def _tool(self) -> str:
        return self._object(
            ("type", "", self._text(".Type")), ("function", "", self._call("function", ".Function"))
        )

    def _function(self) -> str:
        keys = {
            "name": ("", self._text(".Name")),
            "description": (".Description", self._text(".Description")),
            "parameters": (".Parameters.Type", self._call("parameters", ".Parameters")),
        }
        return self._object(*((key, *keys[key]) for key in self._order["function"]))

    def _parameters(self) -> str:
        keys = {
            "type": ("", self._text(".Type")),
            "properties": ("", self._call("properties", ".Properties")),
            "required": (".Required", self._call("list_any", ".Required")),
            "items": (".Items", self._call("any", ".Items")),
            "$defs": (".Defs", self._call("any", ".Defs")),
        }
        return self._object(*((key, *keys[key]) for key in self._order["parameters"]))

    def _property(self) -> str:
        types = self._call("list_any", ".Type")
        keys = {
            "type": (
                ".Type",
                f"{{{{ if eq (len .Type) 1 }}}}{self._text('(index .Type 0)')}{{{{ else }}}}{types}{{{{ end }}}}",
            ),
            "description": (".Description", self._text(".Description")),
            "enum": (".Enum", self._call("list_any", ".Enum")),
            "items": (".Items", self._call("any", ".Items")),
            "properties": (".Properties", self._call("properties", ".Properties.ToMap")),
            "required": (".Required", self._call("list_any", ".Required")),
            "anyOf": (".AnyOf", self._call("list_property", ".AnyOf")),
        }
        return self._object(*((key, *keys[key]) for key in self._order["property"]))

    def _object(self, *keys: _Key) -> str:
        body, before = literal("{"), []
        for key, there, value in keys:
            comma = (
                self._comma
                if not before or "" in before
                else f"{{{{ if {before[0] if len(before) == 1 else 'or ' + ' '.join(before)} }}}}{self._comma}{{{{ end }}}}"
            )
            written = (comma if before else self._line(1)) + f'"{key}": ' + value
            body += f"{{{{ if {there} }}}}{written}{{{{ end }}}}" if there else written
            before.append(there)
        return body + self._line(0) + "}"
