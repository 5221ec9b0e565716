"""Rows as other programs export them → rows that say the same plainly.

    {"mapping": {id: {"message": …, "parent": id}}, "current_node": id}     ChatGPT's conversations.json
    {"input": {"messages": […]}, "preferred_output": […], …}                OpenAI's preference files

A ChatGPT conversation is a tree: every edited question and every answer that was asked for again is a
branch. The path that ends at `current_node` is what was seen last. Of it the turns of user and assistant
are kept; calls of ChatGPT's own tools, their results, hidden turns and summaries of reasoning are not.
"""

from __future__ import annotations

from typing import Any

_UNSEEN = {"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap", "system_error"}


def unfold(row: dict[str, Any]) -> dict[str, Any]:
    """The row, or what it holds in another program's nesting."""
    if isinstance(row.get("mapping"), dict) and "current_node" in row:
        return _chatgpt(row)
    if "preferred_output" in row and "non_preferred_output" in row and isinstance(row.get("input"), dict):
        return _preference(row)
    return row


def _preference(row: dict[str, Any]) -> dict[str, Any]:
    """https://platform.openai.com/docs/guides/direct-preference-optimization"""
    asked = row["input"]
    tools = {"tools": asked["tools"]} if asked.get("tools") else {}
    return {
        "prompt": asked.get("messages"),
        "chosen": row["preferred_output"],
        "rejected": row["non_preferred_output"],
        **tools,
    }


def _chatgpt(row: dict[str, Any]) -> dict[str, Any]:
    turns: list[dict[str, Any]] = []
    for message in _path(row["mapping"], row["current_node"]):
        turn = _turn(message)
        if turn is None:
            continue
        if turns and turns[-1]["role"] == turn["role"]:  # a tool was called between them
            turns[-1]["content"] += [{"type": "text", "text": "\n\n"}, *turn["content"]]
        else:
            turns.append(turn)
    return {
        "messages": turns,
        "id": row.get("conversation_id") or row.get("id"),
        "title": row.get("title"),
        "create_time": row.get("create_time"),
    }


def _path(mapping: dict[str, Any], node: Any) -> list[dict[str, Any]]:
    """The messages from the root to a node; a circle ends where it closes."""
    found: list[dict[str, Any]] = []
    passed: set[Any] = set()
    while isinstance(node, str) and node not in passed and isinstance(mapping.get(node), dict):
        passed.add(node)
        message = mapping[node].get("message")
        if isinstance(message, dict):
            found.append(message)
        node = mapping[node].get("parent")
    return found[::-1]


def _turn(message: dict[str, Any]) -> dict[str, Any] | None:
    """A message as a turn with its content in parts; None for what was not part of the conversation."""
    role = (message.get("author") or {}).get("role")
    content = message.get("content") or {}
    hidden = (message.get("metadata") or {}).get("is_visually_hidden_from_conversation")
    spoken = role == "user" or (role == "assistant" and message.get("recipient") in (None, "all"))
    if not spoken or hidden or content.get("content_type") in _UNSEEN:
        return None
    parts = [_part(part) for part in content.get("parts") or [content.get("text")] if part]
    return {"role": role, "content": parts} if parts else None


def _part(part: Any) -> dict[str, Any]:
    """A text; of a picture or a recording its type, by which the row is refused as one that is not text."""
    if isinstance(part, dict):
        kind = part.get("content_type", "unknown")
        return {"type": "text", "text": part["text"]} if "text" in part else {"type": str(kind)}
    return {"type": "text", "text": str(part)}
