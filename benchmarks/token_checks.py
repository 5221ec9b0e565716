"""How fast rows become ids and labels, beside the bare tokenizer on the same texts.

    uv run --all-extras python benchmarks/token_checks.py data/train.jsonl [--base-model smollm2-135m-instruct]

"bare" is `tokenizer(texts)` of transformers over the conversations, rendered beforehand: no labels and no checks.
"tokens" renders and masks as the training does, "checks" does all of that and looks for every fault. One process,
one thread; rows a second, the best of three. benchmarks/validation.py calls `token_rates`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from nlp_skills.base_model import local_tokenizer
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tokens import Tokens, load_token_model
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import render, tokenize_all
from nlp_skills.task.task import Task

BATCH = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--base-model", default="smollm2-135m-instruct")
    parser.add_argument("--rows", type=int, default=20_000)
    choice = parser.parse_args()
    examples = [row for row, _ in zip(read_examples(choice.file), range(choice.rows), strict=False)]
    print(json.dumps(token_rates(examples, choice.base_model)))


def token_rates(examples: list[Example], base_model: str = "smollm2-135m-instruct") -> dict[str, float]:
    """Rows a second of the bare tokenizer, of ids and labels, and of all checks of the tokens."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = local_tokenizer(base_model).tokenizer
    texts = [render(tokenizer, row.messages or [], row.tools, ask=False) for row in examples]
    task = Task.parse(
        {"name": "rates", "type": "generation", "goal": "measure", "base_model": base_model, "created": ""},
        "the task",
    )

    def tokens() -> None:
        encoder = TextEncoder(tokenizer)
        for start in range(0, len(examples), BATCH):
            tokenize_all(encoder, examples[start : start + BATCH])

    def checks() -> None:
        load_token_model(base_model).encoder = TextEncoder(tokenizer)  # nothing remembered of the run before
        family = Tokens(Context(task, {}))
        for start in range(0, len(examples), BATCH):
            part = examples[start : start + BATCH]
            family.see(Rows("data/train.jsonl", range(start + 1, start + 1 + len(part)), part))

    def bare() -> None:
        for start in range(0, len(texts), BATCH):
            tokenizer(texts[start : start + BATCH], add_special_tokens=False)

    return {
        run.__name__: len(examples) / min(_seconds(run) for _ in range(3)) for run in (bare, tokens, checks)
    }


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
