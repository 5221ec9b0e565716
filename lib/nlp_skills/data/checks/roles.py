"""The order of turns: system first, then user and assistant by turns, tool results after their calls.

Chat templates of many models refuse another order or drop turns from it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

ROLES = ("system", "user", "assistant", "tool")
CALL = "call"
"""An assistant's turn that calls tools."""

_AFTER = {
    "start": ("user", "assistant", CALL),
    "user": ("assistant", CALL),
    "assistant": ("user",),
    CALL: ("tool", "user"),
    "tool": ("tool", "assistant", CALL),
}
"""What may follow."""


def role_of(message: Any) -> str:
    """`call` for an assistant's turn with tool calls, else the role."""
    return CALL if message.tool_calls and message.role == "assistant" else message.role


@lru_cache(maxsize=4096)
def order_problem(roles: tuple[str, ...]) -> str | None:
    """What is wrong with the order of a conversation's roles; None when nothing is.

    A text without any question (an answer alone, or after the system prompt) is in order.
    """
    turns = roles[1:] if roles[:1] == ("system",) else roles
    before = "start"
    for number, role in enumerate(turns, start=len(roles) - len(turns) + 1):
        if role not in _AFTER[before]:
            return f"turn {number}: {_reason(role, before)}"
        before = role
    if "user" in turns and turns[0] != "user":
        return "the assistant speaks before the user"
    return None


def _reason(role: str, before: str) -> str:
    if role == "system":
        return "a system turn that is not the first"
    if role == "tool":
        return "a tool result that follows no tool call"
    said, after = ("assistant" if r == CALL else r for r in (role, before))
    return f"a turn of {said!r} after one of {after!r}"
