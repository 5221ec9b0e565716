"""Does an answer end where it was trained to end? Without that a model talks on, for itself and for the user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nlp_skills.data.example import Example, Meta
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import answer_ids
from nlp_skills.deployment.parity.conversations import ANSWERED, ASKED, Trainer
from nlp_skills.deployment.parity.report import Difference
from nlp_skills.deployment.parity.served import Served
from nlp_skills.errors import NotValid

ROWS = 20
"""Of the task's: an answer and a tool call may end differently."""


def missing_stop(trainer: Trainer, rows: Sequence[Example], served: Served) -> list[Difference]:
    """The tokens that end a trained answer and at which what is served does not stop."""
    found = []
    for token in sorted(trained_ends(trainer, rows)):
        text = trainer.shown([token])
        if not served.ends(token):
            says = (
                f"A trained answer ends with {text}, and what is served does not stop there. Set it as the tokenizer's"
                " eos_token and export again. A PARAMETER stop of a Modelfile does not mend it: the text of a control"
                " token is never written."
            )
            found.append(Difference(cause="missing stop token", says=says, where=served.where, trained=text))
    return found


def trained_ends(trainer: Trainer, rows: Sequence[Example]) -> set[int]:
    """The last token of a plain answer, and of the answers of some rows."""
    plain = Example(meta=Meta(id="plain", source="parity"), messages=[ASKED, ANSWERED])
    chats = [row for row in rows if row.messages and not row.is_plain_text][:ROWS]
    ends = set()
    for row in (plain, *chats):
        shown = with_prompted_tools(row) if trainer.config.tools_in_prompt else row
        try:
            ends.add(answer_ids(trainer.tokenizer, shown, trainer.config.enable_thinking)[-1])
        except NotValid:  # a row that cannot be trained on was not
            continue
    return ends


def ends_of(folder: Path) -> set[int]:
    """The eos_token_id by which a folder is served: of its generation_config.json; of config.json where there is none.

    As transformers reads it (generation/utils.py, adjust_generation_fn): without one nothing ends an answer.
    """
    files = (folder / name for name in ("generation_config.json", "config.json"))
    file = next((file for file in files if file.is_file()), None)
    said = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file else None
    return set(said) if isinstance(said, list) else set() if said is None else {said}
