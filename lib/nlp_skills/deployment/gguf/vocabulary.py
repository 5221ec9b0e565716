"""EXP-VOCAB: whether a GGUF file cuts texts into the tokens that the model was trained with (P16).

tokenizer                                GGUF file
every token, by its number       ═══     tokenizer.ggml.tokens
BOS, EOS, chat template          ═══     its metadata
the task's rows, awkward texts   ═══     llama.cpp's /tokenize
the end of an answer             ═══     llama.cpp stops there
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import answer_ids, encode_text
from nlp_skills.deployment.equivalence import Probe, probes
from nlp_skills.errors import NotValid, clip, counted
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelCheck

AWKWARD = (
    "Hello world! I'm here, you've been there; they'll go.",
    "  two blanks,\ttab,\n\n\nthree line ends  ",
    "1 12 123 1234 12345.67 2026-11-21 50%",
    "naïve café Zoë Straße ŁÓDŹ",
    "我的卡片被扣了兩次款，請問該怎麼辦？",
    "カードが二重に請求されました。",
    "한국어 문장입니다. ไทย العربية עברית",
    "👍🏽 👩‍👩‍👧 ❤️ 🇹🇼",
    "def f(x):\n    return {'a': [x ** 2, \"b\"]}  # ok",
    "https://example.org/a?b=c&d=%20#e user@example.org",
    '{"name": "get_weather", "arguments": {"city": "Oslo"}}',
    "e\u0301 \u00a0\u200b\ufeff ﬁ ½ Ａ",
)
"""Where pre-tokenizers differ: contractions, blanks, digits, scripts, emoji, code."""

MOST_AWKWARD = 1
"""So many of them may be cut otherwise, which is told; of the task's rows none. A wrong pre-tokenizer gets three or four
wrong (measured on SmolLM2 as `default`, `llama-bpe`, `qwen2`), one that differs in fractions and ligatures only one."""

CONTEXT = 256
"""Tokens for each of llama.cpp's requests: nothing is answered here."""


def check_vocabulary(
    file: Path, folder: Path, rows: Sequence[Example], config: TrainConfig, metadata: dict[str, Any]
) -> ModelCheck:
    """Compare a GGUF file with the tokenizer in the folder that it was made of; `metadata` is the file's.

    Raises MissingExtra, or NotValid for a file that llama.cpp cannot read.
    """
    tokenizer = load_tokenizer(BaseModelFiles(name=folder.name, path=str(folder)), chat=False)
    told = _other_tokens(tokenizer, metadata) or _other_flags(tokenizer, metadata)
    if told:
        return ModelCheck(id="EXP-VOCAB", passed=False, message=told)
    own = [_text(tokenizer, one) for one in probes(tokenizer, rows, config)]
    llama = GgufPredictor(file, context=CONTEXT)
    try:
        of_rows, awkward = (_cut_otherwise(tokenizer, llama, texts) for texts in (own, AWKWARD))
        told = next(iter(of_rows or awkward[MOST_AWKWARD:]), None) or _no_end(tokenizer, llama)
    finally:
        llama.close()
    measured: dict[str, float | int | str] = {
        "tokens": len(metadata["tokenizer.ggml.tokens"]),
        "pre_tokenizer": str(metadata.get("tokenizer.ggml.pre", "none")),
        "rows": len(own),
        "rows_cut_otherwise": len(of_rows),
        "awkward_texts": len(AWKWARD),
        "awkward_texts_cut_otherwise": len(awkward),
    }
    if told:
        return ModelCheck(id="EXP-VOCAB", passed=False, measured=measured, message=told)
    same = f"Tokens, special tokens and the cuts of {counted(len(own), 'row')} are the tokenizer's."
    return ModelCheck(id="EXP-VOCAB", passed=True, measured=measured, message=" ".join([same, *awkward]))


def _text(tokenizer: Any, probe: Probe) -> str:
    return tokenizer.decode([*probe.prompt, *probe.answer], skip_special_tokens=False)


def _other_tokens(tokenizer: Any, metadata: dict[str, Any]) -> str | None:
    """Added tokens may be written otherwise there; how they are cut is compared with the texts."""
    there = metadata.get("tokenizer.ggml.tokens", ())
    size = len(tokenizer)
    if len(there) < size:
        return f"The file has {len(there):,} tokens, the tokenizer {size:,}."
    added = tokenizer.added_tokens_decoder
    here = tokenizer.convert_ids_to_tokens(list(range(size)))
    for number, (one, other) in enumerate(zip(here, there, strict=False)):
        if one != other and number not in added and one is not None:
            return f"Token {number} is {other!r} in the file and {one!r} in the tokenizer."
    return None


def _other_flags(tokenizer: Any, metadata: dict[str, Any]) -> str | None:
    for name, key in (("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id")):
        here, there = getattr(tokenizer, name), metadata.get(f"tokenizer.ggml.{key}")
        if here is not None and here != there:
            return f"{key} is {there} in the file and {here} in the tokenizer."
    begins = (tokenizer("x")["input_ids"] or [None])[0] == tokenizer.bos_token_id is not None
    adds = metadata.get("tokenizer.ggml.add_bos_token")
    if adds is not None and adds != begins:
        return (
            f"The file says add_bos_token {str(adds).lower()}, the tokenizer {str(begins).lower()}: a prompt would begin"
            f" {'with a BOS that the training never saw' if adds else 'without the BOS that the training saw'}."
        )
    template = metadata.get("tokenizer.chat_template")
    if isinstance(tokenizer.chat_template, str) and template != tokenizer.chat_template:
        return "The chat template in the file is not the tokenizer's."
    return None


def _cut_otherwise(tokenizer: Any, llama: GgufPredictor, texts: Sequence[str]) -> list[str]:
    """Of each text that llama.cpp cuts otherwise, where."""
    found = []
    for text in texts:
        here, there = encode_text(tokenizer, text), llama.token_ids(text)
        if here != there:
            pairs = enumerate(zip(here, there, strict=False))
            first = next((n for n, (a, b) in pairs if a != b), min(len(here), len(there)))
            ours, theirs = (tokenizer.convert_ids_to_tokens(ids[first : first + 3]) for ids in (here, there))
            found.append(
                f"llama.cpp cuts {clip(text, 60)!r} otherwise from token {first + 1} on: {theirs} where the tokenizer"
                f" has {ours}. The converter knows no pre-tokenizer like it, or the tokenizer's files were changed."
            )
    return found


def _no_end(tokenizer: Any, llama: GgufPredictor) -> str | None:
    said = [Message("user", "x"), Message("assistant", "y")]
    try:
        end = answer_ids(tokenizer, Example(meta=Meta(id="x", source="x"), messages=said))[-1]
    except (NotValid, ValueError):  # no chat template, or one for other turns
        end = tokenizer.eos_token_id
    if end is None or llama.ends_answer(end):
        return None
    name = tokenizer.convert_ids_to_tokens(end)
    return f"llama.cpp does not stop at {name!r}, which ends an answer: it would go on for ever."
