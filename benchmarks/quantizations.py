"""How often a GGUF file says word for word what the merged model says, beside its size.

    uv run --extra train --extra serve python benchmarks/quantizations.py tasks/tickets

Fifty short questions in three languages (tests/deployment/fifty_prompts.py), answered greedily by transformers in float32
and by llama.cpp. Make the files first: nlp-skills export-model tickets --quantization f16 …
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.deployment.artefact import artefact
from nlp_skills.deployment.artefacts import list_artefacts
from nlp_skills.evaluation.predictors import Decoding, Predictor
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.records import silent

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "deployment"))
from fifty_prompts import rows

HALF = "\ufffd"
"""Of a character whose other half would be the next token; llama.cpp holds it back."""


def answers(predictor: Predictor, tokens: int) -> list[str]:
    """The greedy text of every question."""
    found = dict(predictor.answer(rows(), Decoding(max_new_tokens=tokens, batch_size=50), silent))
    predictor.close()
    return [found[place].text.rstrip(HALF) for place in range(len(found))]


def measured(task: Path, version: str, tokens: int) -> Iterator[tuple[str, int, int, int]]:
    """Name, bytes, equal texts and all texts of each GGUF file."""
    merged, _ = artefact(task, version, "merged")
    whole = BaseModelFiles(name="merged", path=str(merged))
    wanted = answers(load_local(whole, None, "float32"), tokens)
    for one in list_artefacts(task, version=version).artefacts:
        if one.format == "gguf":
            path, info = artefact(task, version, one.name)
            found = answers(GgufPredictor(path, context=256), tokens)
            equal = sum(a == b for a, b in zip(wanted, found, strict=True))
            yield one.name, info.size_bytes or 0, equal, len(wanted)


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", type=Path, help="the task's folder")
    parser.add_argument("--version", default="v1")
    parser.add_argument("--tokens", type=int, default=16, help="of each answer at most")
    given = parser.parse_args()
    for name, size, equal, count in measured(given.task, given.version, given.tokens):
        print(f"{name:8} {size / 1e6:7.0f} MB   {equal} of {count} texts equal", flush=True)


if __name__ == "__main__":
    main()
