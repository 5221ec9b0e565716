"""Text that is never written, and that Ollama reads.

Ollama looks into a TEMPLATE for what the model can do, and reads answers by what it finds (server/images.go,
thinking/template.go, tools/template.go): the first text inside the first `if` about .ToolCalls opens a tool call; the
texts around the last .Thinking in a range over .Messages enclose reasoning. A translated template says both in places
that these searches do not expect, so they are said once more where nothing is written.
"""

from __future__ import annotations

import re

from nlp_skills.deployment.go_template.chat_template import ChatTemplate
from nlp_skills.deployment.go_template.probes import Probe, assistant, calling, user
from nlp_skills.deployment.go_template.writers import literal

_TAG = r"[<\[][^<>\[\]\s]+[>\]]"


def with_markers(chat: ChatTemplate, template: str, *, tools: bool) -> str:
    """The template with what Ollama looks for."""
    around = ""
    if tools and (opening := call_opening(chat)) is not None:
        around += '{{ range .Messages }}{{ if and .ToolCalls $.Tools (eq .Role "tool") false }}'
        around += f"{literal(opening)}{{{{ end }}}}{{{{ end }}}}"
    if tags := reasoning_tags(chat):
        enclosed = "{{ .Thinking }}".join(map(literal, tags))
        template += (
            f"{{{{ range .Messages }}}}{{{{ if and .Thinking false }}}}{enclosed}{{{{ end }}}}{{{{ end }}}}"
        )
    return around + template


def call_opening(chat: ChatTemplate) -> str | None:
    """What stands before the JSON of a tool call; empty where nothing does, None where calls are not written."""
    asked = chat.rendered(Probe("asked", [user("a")]))
    told = chat.rendered(Probe("called", [user("a"), calling(("get_weather", {"city": "x"}))]), ask=False)
    if asked is None or told is None or "get_weather" not in told.text:
        return None
    answer = told.text.removeprefix(asked.text)
    before = answer[: answer.index("get_weather")].partition("{")[0].strip()
    return before.splitlines()[-1] if before else ""


def reasoning_tags(chat: ChatTemplate) -> tuple[str, str] | None:
    """The tags around reasoning: as an answer shows them, or as the template takes them out of answers."""
    told = chat.rendered(Probe("thought", [user("a"), assistant("b", "REASONING")]), ask=False)
    found = re.search(rf"({_TAG})\s*REASONING\s*({_TAG})", told.text) if told else None
    if found:
        return found[1], found[2]
    return ("<think>", "</think>") if "</think>" in chat.source else None
