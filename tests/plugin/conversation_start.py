"""What lies in the user's folder when a conversation begins: real data, and planted faults."""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from conversation import Conversation

Rows = list[dict[str, str]]


def banking(data: Path) -> str:
    """Questions to a bank's support, 24 for each of three teams."""
    return table(bank_rows(data)[:72])


def banking_more(data: Path) -> str:
    """Another 42 for each team."""
    return table(bank_rows(data)[72:])


def bank_rows(data: Path) -> Rows:
    """The teams take turns."""
    with (data / "classification" / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    teams = {"lost_or_stolen_card": "cards", "transfer_timing": "transfers", "top_up_failed": "top-up"}
    chosen = [
        {"text": " ".join(row["text"].split()), "label": teams[row["category"]]}
        for row in rows
        if row["category"] in teams
    ]
    return evenly(chosen, 66)


def banking_next(data: Path) -> str:
    """What a week brings: 4 more for each team, and a row that was there before with another team."""
    return table([*bank_rows(data)[72:84], {**bank_rows(data)[0], "label": "transfers"}])


def headings(_: Path) -> str:
    """A chat template with Alpaca's headings, which the version was not trained with: the planted fault."""
    return "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}### assistant:\n"


def stock_posts(data: Path) -> str:
    """Posts of a stock forum in traditional characters, 16 of each mood."""
    lines = (
        (data / "finance_sentiment" / "finfe_zh_hant_converted.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    rows = [{key: str(json.loads(line)[key]) for key in ("text", "label")} for line in lines]
    return table(evenly((row for row in rows if len(row["text"]) >= 12), 16))


def tool_talks(data: Path) -> str:
    """Conversations with calls of functions, and some where no call is wanted; the first 60."""
    talks = json.loads((data / "tool_use" / "glaive_toolcall_en_demo.json").read_text(encoding="utf-8"))
    return json.dumps(talks[:60], ensure_ascii=False)


def tools(data: Path) -> str:
    """The definitions of all functions of these conversations, once each."""
    talks = json.loads(tool_talks(data))
    found = {tool["name"]: tool for talk in talks for tool in json.loads(talk["tools"])}
    return json.dumps(list(found.values()), ensure_ascii=False)


def takeaway(data: Path) -> str:
    """Chinese reviews of food delivery, 60 good and 60 bad ones."""
    file = data / "classification" / "waimai_10k_zh_hans.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        rows = [
            {"text": row["review"], "label": "好评" if row["label"] == "1" else "差评"}
            for row in csv.DictReader(opened)
            if 8 <= len(row["review"]) <= 40
        ]
    return table(evenly(rows, 60))


def evenly(rows: Iterable[dict[str, str]], each: int) -> Rows:
    """The first so many of each label, one after the other."""
    by_label: dict[str, Rows] = {}
    for row in rows:
        by_label.setdefault(row["label"], []).append(row)
    return [
        row for together in zip(*(rows[:each] for rows in by_label.values()), strict=True) for row in together
    ]


def table(rows: Rows) -> str:
    lines = [",".join(f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row.values()) for row in rows]
    return "\n".join([",".join(rows[0]), *lines]) + "\n"


FILES: dict[str, Callable[[Path], str]] = {
    "banking": banking,
    "banking_more": banking_more,
    "banking_next": banking_next,
    "headings": headings,
    "stock_posts": stock_posts,
    "tool_talks": tool_talks,
    "tools": tools,
    "takeaway": takeaway,
}
"""Name in a conversation → the file's text, from the folder of shared data."""


def lay(conversation: Conversation, project: Path, data: Path) -> None:
    """The user's own files, as the first session finds them."""
    project.mkdir(parents=True, exist_ok=True)
    for name, kind in conversation.files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(FILES[kind](data), encoding="utf-8")
