"""data/tokens.html: the previewed rows with every character, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.data.token_runs import Mark, PreviewedRow, TokenPreview, TokenRun, pieces, visible
from nlp_skills.errors import counted
from nlp_skills.page import render_page
from nlp_skills.page.markup import Html, element, join
from nlp_skills.page.parts import section


def token_page(preview: TokenPreview) -> str:
    """The page's HTML: readable without colour (trained text is underlined, cut text struck through)."""
    title = f"What the loss sees: {preview.task}"
    header = join(
        [
            element("p", preview.task, class_="eyebrow"),
            element("h1", "What the loss sees"),
            element(
                "p",
                f"{counted(len(preview.rows), 'row')} of {preview.file} as the chat template of {preview.base_model}"
                f" renders them for the training, with max_length {preview.max_length:,}.",
                class_="quiet",
            ),
            _legend(),
            [element("p", note, class_="quiet") for note in preview.notes],
        ]
    )
    main = join(_section(preview, row, place) for place, row in enumerate(preview.rows))
    footer = element("p", f"Made by: nlp-skills preview-tokens {preview.task}")
    return render_page(title, header=header, main=main, footer=footer)


def _legend() -> Html:
    return element(
        "p",
        [element("mark", "trained"), " the model learns to write this · "],
        [element("span", "not trained", class_="given"), " it is given this · "],
        [element("del", "cut"), " beyond max_length · "],
        [element("b", "<token>", class_="special"), " a special token, BOS and EOS are named"],
        class_="token-legend",
    )


def _section(preview: TokenPreview, row: PreviewedRow, place: int) -> Html:
    title = f"Line {row.line}: {visible(row.id)}"
    if row.problem:
        return section(f"row-{place}", title, element("p", row.problem, class_="absent"))
    share = row.trained / row.tokens if row.tokens else 0
    cut = f", {row.cut:,} cut" if row.cut else ""
    said = f"{counted(row.tokens, 'token')}, {row.trained:,} trained ({share:.0%}){cut}"
    text = [_piece(*piece) for piece in pieces(preview, row)]
    return section(
        f"row-{place}",
        title,
        element("p", said, class_="lead"),
        element("pre", text, class_="tokens", tabindex="0"),
    )


def _piece(run: TokenRun, text: str, mark: Mark | None) -> Html:
    inside: Sequence[Html | str] = [element("b", text, class_=f"special {mark}")] if mark else [text]
    shown = element("mark", inside) if run.trained else element("span", inside, class_="given")
    return element("del", shown) if run.cut else shown
