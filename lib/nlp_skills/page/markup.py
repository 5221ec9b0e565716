"""HTML and SVG that are escaped by construction: text becomes markup only through `element`.

    element("p", "3 < 4", class_="note")   →   <p class="note">3 &lt; 4</p>

Rows of data are hostile until proven otherwise; here nobody has to remember to escape them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any, TypeAlias


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute: TypeAlias = "str | float | bool | None"

_VOID = frozenset({"br", "col", "hr", "input", "wbr"})
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def element(name: str, *children: Child, **attributes: Attribute) -> Html:
    """One element. Children that are not Html are escaped; None is nothing; iterables are flattened.

    `class_` is `class`, `aria_label` is `aria-label`; False and None leave an attribute out.
    """
    opening = f"<{name}{''.join(map(_attribute, attributes.items()))}>"
    if name in _VOID:
        return Html(opening)
    return Html(f"{opening}{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Several children after each other, each escaped unless it is markup."""
    return Html("".join(map(_child, children)))


def json_block(identifier: str, value: Any) -> Html:
    """A JSON value in a script element that no browser runs; nothing in it can close the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    text = _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return Html(f'<script type="application/json" id="{escape(identifier)}">{text}</script>')


def number(value: float) -> str:
    """A coordinate: at most two decimals, none that says nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", child), quote=False)
    if isinstance(child, int):
        return f"{child:,}"
    return join(child)


def _attribute(item: tuple[str, Attribute]) -> str:
    name, value = item[0].rstrip("_").replace("_", "-"), item[1]
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    return f' {name}="{escape(_CONTROL.sub("", text))}"'
