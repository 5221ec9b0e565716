"""Small real tokenizers, trained here on a few sentences, with the chat templates of the large families."""

import json
from functools import cache
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Qwen3: reasoning of earlier turns is left out, the last turn always has a (perhaps empty) block.
THINK = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.last %}<think>\n{% if '</think>' in m.content %}{{ m.content.split('</think>')[0].split('<think>')[-1].strip('\n') }}{% endif %}"
    "\n</think>\n\n{% endif %}{{ said }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Llama 3: the template writes BOS, and so does the tokenizer where it is asked to add special tokens.
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GENERATION = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Mistral: plain words between brackets, no generation prompt, the end token is EOS.
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}</s>"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

WORDS = [
    "Where is my card? It was lost.",
    "positive negative neutral",
    "user assistant system",
    "正面 負面 中立",
    "a b c d e f",
] * 3


@cache
def bytes_tokenizer() -> Any:
    """Byte-level BPE without merges across words, as in GPT-2, Llama 3 and Qwen."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    return made.to_str()


@cache
def metaspace_tokenizer(scheme: str) -> Any:
    """Blanks as ▁, one before the first word (`first`) or before every section (`always`), as in SentencePiece."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)])
    byte_pieces = [f"<0x{value:02X}>" for value in range(256)]
    made.train_from_iterator(
        WORDS, trainers.BpeTrainer(vocab_size=400, special_tokens=byte_pieces, show_progress=False)
    )
    return made.to_str()


def wrap(
    backend: str, template: str, *, special: list[str], bos: str | None = None, eos: str | None = None
) -> Any:
    """A tokenizer of transformers with these special tokens; with `bos`, it adds it where it is asked to."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer.from_str(backend)
    made.add_special_tokens(special)
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
        )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token=bos, eos_token=eos)
    wrapped.chat_template = template
    return wrapped


IM = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


def chatml(template: str = CHATML, *, eos: str | None = "<|im_end|>") -> Any:
    return wrap(bytes_tokenizer(), template, special=IM, eos=eos)


def llama(template: str = LLAMA) -> Any:
    return wrap(bytes_tokenizer(), template, special=HEADERS, bos="<|begin_of_text|>", eos="<|eot_id|>")


def inst(scheme: str, template: str = INST) -> Any:
    return wrap(metaspace_tokenizer(scheme), template, special=["<s>", "</s>"], bos="<s>", eos="</s>")


FAMILIES = {
    "ChatML": chatml,
    "reasoning": lambda: chatml(THINK),
    "generation tags": lambda: chatml(GENERATION),
    "no end token in the template": lambda: chatml(PLAIN),
    "Llama": llama,
    "SentencePiece, blank first": lambda: inst("first"),
    "SentencePiece, blank always": lambda: inst("always"),
}


def save_model_folder(
    folder: Path, tokenizer: Any, *, embedding_rows: int | None = None, positions: int = 8192
) -> Path:
    """A base model's folder without its weights: what a check of the tokens reads."""
    tokenizer.save_pretrained(folder)
    rows = len(tokenizer) if embedding_rows is None else embedding_rows
    config = {"model_type": "llama", "vocab_size": rows, "max_position_embeddings": positions}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
