"""The main text of a web page, with its title and date.

    decoded HTML → trafilatura, comments left out
                     twice: balanced, and in favour of precision, which is taken
                     unless it loses more than KEPT of the text
                 → without a first line that repeats the title, which has a field of its own

benchmarks/extraction.py measures this beside trafilatura alone and others; docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from nlp_skills.errors import MissingExtra

KEPT = 0.7
"""The precise text is taken when it is at least this long beside the balanced one: what it leaves out then are
teasers and forms; where it leaves out more, it has lost parts of the article."""
_DATES = {"original_date": True, "extensive_search": False}  # extensive: any number that may be a date
_LATEST = "2099-12-31"  # trafilatura takes today: the same page would give another row tomorrow


@dataclass(frozen=True)
class Article:
    """What a page says."""

    text: str
    """Paragraphs are lines."""
    title: str | None = None
    date: str | None = None
    """YYYY-MM-DD, of its first publication where the page tells."""


def extract_article(html: str, url: str, day: str | None = None) -> Article | None:
    """The article of a decoded page; None where there is none. `day`: dates after it are not believed.

    Raises MissingExtra without trafilatura.
    """
    try:
        from trafilatura import bare_extraction, load_html
    except ImportError:
        raise MissingExtra("Reading web pages", "sources") from None
    for name in ("trafilatura", "htmldate", "courlan", "justext"):
        logger = logging.getLogger(name)  # without a handler their remarks go to stderr
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    dates = {**_DATES, "max_date": day or _LATEST}
    if (tree := load_html(html)) is None:
        return None
    balanced = bare_extraction(
        tree, url=url, include_comments=False, with_metadata=True, date_extraction_params=dates
    )
    if balanced is None or not (text := getattr(balanced, "text", None)):
        return None
    title, date = getattr(balanced, "title", None), getattr(balanced, "date", None)
    precise = bare_extraction(tree, url=url, include_comments=False, favor_precision=True, fast=True)
    shorter = getattr(precise, "text", None) or ""
    text = shorter if len(shorter) >= KEPT * len(text) else text
    return Article(_without_title(text, title), title, date)


def _without_title(text: str, title: str | None) -> str:
    first, _, rest = text.partition("\n")
    return rest if title and rest and _words(first) == _words(title) else text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
