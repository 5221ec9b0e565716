"""May it go to users? The criteria of task.yaml, each with its answer and what was measured."""

from __future__ import annotations

from nlp_skills.evaluation.promotion import Promotion
from nlp_skills.page.markup import Html, element, join
from nlp_skills.page.parts import absent, table

SIGNS = {"yes": "✓", "no": "✕", "cannot tell": "?"}


def promotion_part(found: Promotion | str | None, version: str) -> Html:
    """The gate as a table, the answer first."""
    if found is None:
        return absent(f"Whether {version} may go to users cannot be told: it has not been evaluated yet.")
    if isinstance(found, str):
        return absent(f"Whether {version} may go to users cannot be told: {found}")
    return element(
        "div",
        element("h3", "May it go to users?"),
        element("p", found.message, class_="verdict-line"),
        table(
            ["Criterion", "Answer", "Why"],
            [
                [
                    one.criterion,
                    element(
                        "span",
                        element("span", f"{SIGNS[one.answer]} ", aria_hidden="true"),
                        one.answer,
                        class_=f"told-{one.answer.replace(' ', '-')}",
                    ),
                    join([one.reason, *([" Next: ", element("code", one.next)] if one.next else [])]),
                ]
                for one in found.criteria
            ],
            stack=True,
        ),
        class_="promotion",
    )
