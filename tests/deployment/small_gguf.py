"""A model of a few thousand random weights, as a folder and as a GGUF file of the same weights, each with what a test plants.

Its template writes BOS and tools, and ends a turn with a token that llama.cpp knows only by the file's eos_token_id.
"""

from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.base_model import chat_template_sha256
from nlp_skills.data.example import read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.records import sha256_file, sha256_tree, silent, to_json, write_lines
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version

BEGIN, PAD, TURN, CLOSE = "<|begin|>", "<|pad|>", "<|turn|>", "<|close|>"

TOOLS = "{% if tools %}<|turn|>tools\n{% for t in tools %}{{ t.function.name }}: {{ t.function.description }}\n{% endfor %}<|close|>\n{% endif %}"
TURNS = (
    "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}[{{ c.function.name }}]{% endfor %}{% endif %}<|close|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
TEMPLATE = "{{ bos_token }}" + TOOLS + TURNS

WORDS = ("good", "bad")


def small_tokenizer() -> Any:
    """Bytes, and one pair of them; a plain text begins with BOS, as Llama's does, and the template writes it too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt"]
    vocabulary = {letter: n for n, letter in enumerate(letters)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "t")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([BEGIN, PAD, TURN, CLOSE])
    begin = made.token_to_id(BEGIN)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, begin)]
    )
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BEGIN, eos_token=CLOSE, pad_token=PAD
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def said(token: str) -> bool:
    """Letters and the end: half a character is written by every program in its own way."""
    return token == CLOSE or token in ("Ġ", "Ġt") or (len(token) == 1 and token.isascii() and token.isalnum())


def save_folder(folder: Path) -> Path:
    """Weights that are large enough for a next token to be more probable than another."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = small_tokenizer()
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=0.4,
    )
    model = LlamaForCausalLM(config)
    rare = [
        n
        for n, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
        if not said(token)
    ]
    model.model.embed_tokens.weight.data[rare] *= 0.01
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_task(home: Path) -> Path:
    """The task `small` with v1 of these weights, evaluated on 10 rows."""
    rows = ({"text": f"It is number {n}.", "label": WORDS[n % 2]} for n in range(30))
    write_lines(home / "rows.jsonl", (b" ".join(to_json(row).split(b"\n")) for row in rows))
    base = save_folder(home / "base")
    create_task(
        home / "tasks", "small", type=TaskType.CLASSIFICATION, goal="Good or bad?", base_model=str(base)
    )
    task = home / "tasks" / "small"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 15, "valid": 5, "test": 10}).save(task / "data_source.yaml")
    add_source(task, str(home / "rows.jsonl"))
    regenerate_data(task)
    create_version(task, settings={"threads": 1, "dtype": "float32"})
    weights = save_folder(task / "models" / "v1" / "model")
    ModelInfo(
        path="models/v1/model",
        format="merged",
        sha256=sha256_tree(weights),
        base_model=str(base),
        chat_template_sha256=chat_template_sha256(small_tokenizer()),
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    write_predictions(task)
    return task


def write_predictions(task: Path) -> None:
    """As evaluate_version writes them, without the baselines."""
    definition = Task.load(task / "task.yaml")
    config = TrainConfig.load(task / "versions" / "v1" / "config.yaml")
    train, test = (list(read_examples(task / "data" / f"{split}.jsonl")) for split in ("train", "test"))
    predictor = open_predictor(task, "v1")
    rows = ask(definition, config, predictor, test, choose_decoding(definition, train, test), silent)
    write_lines(task / "versions" / "v1" / "predictions.jsonl", map(msgspec.json.encode, rows))


def write_gguf(
    task: Path,
    *,
    name: str = "f32",
    template: str = TEMPLATE,
    eos: str = CLOSE,
    add_bos: bool = True,
    bits: int = 32,
    shift: float = 0.0,
) -> ModelInfo:
    """models/v1/NAME.gguf with its record: the trained weights; those of a merge into 4 bits; or others by so much."""
    import torch
    from gguf import GGUFWriter, TokenType
    from safetensors.torch import load_file

    tokenizer = small_tokenizer()
    torch.manual_seed(11)
    file = task / "models" / "v1" / f"{name}.gguf"
    out = GGUFWriter(file, "llama")
    out.add_context_length(2048)
    out.add_embedding_length(32)
    out.add_block_count(1)
    out.add_feed_forward_length(64)
    out.add_head_count(2)
    out.add_head_count_kv(2)
    out.add_rope_dimension_count(16)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_vocab_size(len(tokenizer))
    out.add_file_type(0)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    out.add_token_list(tokens)
    special = {BEGIN, PAD, TURN, CLOSE}
    out.add_token_types([TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens])
    out.add_token_merges(["Ġ t"])
    out.add_bos_token_id(tokenizer.bos_token_id)
    out.add_eos_token_id(tokenizer.convert_tokens_to_ids(eos))
    out.add_add_bos_token(add_bos)
    out.add_chat_template(template)
    for key, weight in load_file(task / "models" / "v1" / "model" / "model.safetensors").items():
        kept = _rounded(weight) if bits == 4 and "_proj" in key else weight
        kept = kept + shift * torch.randn(kept.shape) if "_proj" in key else kept
        if key.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp pairs the halves of a head otherwise
            kept = kept.reshape(2, 2, 8, 32).swapaxes(1, 2).reshape(32, 32)
        out.add_tensor(
            _NAMES[key.removeprefix("model.").removeprefix("layers.0.")], kept.to(torch.float32).numpy()
        )
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    trained = ModelInfo.load(task / "versions" / "v1" / "model_info.json")
    made = trained.with_changes(
        path=f"models/v1/{name}.gguf",
        format="gguf",
        sha256=sha256_file(file),
        quantization=name,
        made_from_sha256=trained.sha256,
    )
    return made.save(task / "models" / "v1" / f"{name}.json")


def _rounded(weight: Any) -> Any:
    """As a base model that is loaded in 4 bits has it."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight, quant_type="nf4")
    return dequantize_4bit(packed, state)


_NAMES = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "input_layernorm.weight": "blk.0.attn_norm.weight",
    "post_attention_layernorm.weight": "blk.0.ffn_norm.weight",
    "self_attn.q_proj.weight": "blk.0.attn_q.weight",
    "self_attn.k_proj.weight": "blk.0.attn_k.weight",
    "self_attn.v_proj.weight": "blk.0.attn_v.weight",
    "self_attn.o_proj.weight": "blk.0.attn_output.weight",
    "mlp.gate_proj.weight": "blk.0.ffn_gate.weight",
    "mlp.up_proj.weight": "blk.0.ffn_up.weight",
    "mlp.down_proj.weight": "blk.0.ffn_down.weight",
}
