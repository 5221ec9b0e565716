"""What a finding shows of a row: the start of its text on one line, without what must not be told.

    "call 09050090044, key AKIA…"  →  "call [phone number], key [AWS access key]"

Whatever a finding, a cause or an answer of a tool quotes goes through here. What a person opens to read their own
rows (previews, the error browser of a report) shows them as they are.
"""

from __future__ import annotations

from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.personal import find_numbers, find_personal
from nlp_skills.data.sensitive import Span, apart, mask
from nlp_skills.errors import MissingExtra, clip

WIDTH = 160


def excerpt(text: str, width: int = WIDTH) -> str:
    """The start of a text on one line, masked; of what is masked no part is left at the end."""
    spans = find_sensitive(text[: 3 * width])
    start = max([2 * width, *(span.end for span in spans if span.start < 2 * width)])
    shown = mask(text[:start], [span for span in spans if span.end <= start])
    return clip(" ".join(shown.split()), width)


def ending(text: str, width: int) -> str:
    """The last characters of a text, masked; line ends stay."""
    return masked(text)[-width:]


def masked(text: str) -> str:
    """The text with secrets and personal data replaced by what they are: `[phone number]`."""
    return mask(text, find_sensitive(text))


def find_sensitive(text: str) -> list[Span]:
    """Secrets and personal data; every long number where python-stdnum is not there to tell which are somebody's."""
    try:
        return apart([*find_secrets(text), *find_personal(text)])
    except MissingExtra:
        return apart([*find_secrets(text), *find_numbers(text)])
