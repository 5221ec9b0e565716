"""Base models to name where another size would do better; a table, so that nothing is fetched to name one.

Parameters are counted from their config.json by count_shape; the Hub's ids are those of the instruct models.
"""

from __future__ import annotations

from typing import NamedTuple


class KnownModel(NamedTuple):
    """A base model of known size."""

    id: str
    parameters: int
    cache_bytes: int
    """Keys and values of one token, in bfloat16: 2 x layers x their width x 2 bytes."""
    many_languages: bool = False
    """Its card promises Chinese and Japanese; the others are named for English tasks only."""
    tools: bool = False
    """Its chat template shows tools."""
    terms: str = "Apache-2.0"
    """gated: its terms have to be accepted on the Hub first."""


KNOWN_MODELS: tuple[KnownModel, ...] = (
    KnownModel("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008, 23_040),
    KnownModel("google/gemma-3-270m-it", 268_098_176, 18_432, terms="Gemma terms, gated"),
    KnownModel("HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120, 40_960),
    KnownModel("Qwen/Qwen3-0.6B", 596_049_920, 114_688, many_languages=True, tools=True),
    KnownModel("google/gemma-3-1b-it", 999_885_952, 26_624, terms="Gemma terms, gated"),
    KnownModel(
        "meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, 32_768, tools=True, terms="Llama 3.2, gated"
    ),
    KnownModel("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1_711_376_384, 196_608),
    KnownModel("Qwen/Qwen3-1.7B", 1_720_574_976, 114_688, many_languages=True, tools=True),
    KnownModel(
        "meta-llama/Llama-3.2-3B-Instruct", 3_212_749_824, 114_688, tools=True, terms="Llama 3.2, gated"
    ),
    KnownModel("Qwen/Qwen3-4B", 4_022_468_096, 147_456, many_languages=True, tools=True),
    KnownModel("Qwen/Qwen3-8B", 8_190_735_360, 147_456, many_languages=True, tools=True),
)
"""The smallest first."""


def suitable_models(language: str | None, *, tools: bool) -> list[KnownModel]:
    """Those that know the task's language (BCP 47; None: English) and, where it has tools, show them."""
    english = language is None or language.lower().startswith("en")
    return [
        model for model in KNOWN_MODELS if (english or model.many_languages) and (model.tools or not tools)
    ]
