"""The sample that ships with the project: 330 support messages, each with the one topic it belongs to.

They were written for this project by an AI assistant; README.md beside them gives the labelling
rule. The quickstart trains on them, so that it needs no download.
"""

from __future__ import annotations

from pathlib import Path

SUPPORT_MESSAGES: Path = Path(__file__).with_name("support_messages.csv")
"""CSV, UTF-8, columns `message` and `topic`, one row a message."""
