"""Pages: one self-contained HTML file with inline style and SVG, readable offline, in light and dark.

    render_page("Support tickets", header=…, main=…, footer=…, nav={"scores": "Scores"})

markup.py escapes by construction, parts.py has tables and figures, charts.py pictures; page.html
and page.css stand beside this file.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from string import Template

from nlp_skills.page.markup import Html, element, join


def render_page(
    title: str,
    *,
    header: Html,
    main: Html,
    footer: Html,
    nav: Mapping[str, str] | None = None,
    script: str = "",
) -> str:
    """The page's text; `nav` names sections by their id. Only this very script may run on it, and nothing is loaded."""
    links = Html(" ".join(element("a", text, href=f"#{target}") for target, text in (nav or {}).items()))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_file("page.html")).substitute(
        title=join([title]),
        style=_file("page.css"),
        scripts=f"'sha256-{allowed}'" if script else "'none'",
        header=join((header, element("nav", links, aria_label="Sections") if nav else None)),
        main=main,
        footer=footer,
        script=Html(f"<script>{script}</script>\n") if script else "",
    )


def _file(name: str) -> str:
    return resources.files("nlp_skills.page").joinpath(name).read_text(encoding="utf-8")
