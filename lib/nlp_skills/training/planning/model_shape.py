"""What a base model is made of, from its config.json alone: no weights are read or downloaded.

    parameters · layers · widths · heads · vocabulary · its linear layers

Everything that memory, time and the size of an adapter are worked out from. Where transformers knows
the family, the model is built on the "meta" device (shapes without numbers) and counted exactly;
otherwise the numbers of a gated decoder (Llama: Touvron et al. 2023, arXiv:2302.13971) are assumed.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_skills.base_model import cache_folder, local_config
from nlp_skills.errors import NotValid
from nlp_skills.records import Record, sha256_file
from nlp_skills.training.config import ALL_LINEAR

ALIASES = {
    "hidden_size": ("n_embd", "d_model", "dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "multi_query_group_num"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "d_ff"),
    "vocab_size": ("n_vocab", "padded_vocab_size"),
    "max_position_embeddings": ("n_positions", "seq_length"),
}
"""Name in config.json → what older families call it."""

UNGATED = ("gpt_neox", "gpt2", "phi", "opt", "falcon", "bloom", "mpt", "gpt_bigcode", "starcoder2")
"""Families whose MLP has two matrices, without a gate."""


class LinearLayer(Record):
    """Linear layers of one name and shape: `count` of them in the model."""

    name: str
    """The last part of the module's name, as target_modules has it: q_proj, down_proj …"""
    inputs: int
    outputs: int
    count: int


class ModelShape(Record):
    """A base model's sizes; widths in numbers, not bytes."""

    base_model: str
    family: str
    """`model_type` of config.json."""
    parameters: int
    active_parameters: int
    """Those that one token passes through; fewer than `parameters` in a mixture of experts."""
    embedding_parameters: int
    """Of the input embedding; the head shares it where `tied`."""
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_dim: int
    vocabulary: int
    positions: int | None = None
    tied: bool
    gated: bool
    """Whether the MLP multiplies a gate with what comes up (SwiGLU, GeGLU: Shazeer 2020, arXiv:2002.05202)."""
    normalised: int
    """Numbers of a token that pass a norm in one layer: two hidden states in Llama, and queries and keys in Qwen3."""
    linear: list[LinearLayer]
    """Without the head: PEFT's "all-linear"."""
    stored_width: int
    """Bytes of a number in the file of the weights, as config.json says (dtype)."""
    exact: bool
    """False: worked out from config.json by the formula of a Llama, because transformers does not know the family."""

    @property
    def query_width(self) -> int:
        """All heads together."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """The heads of the keys (or of the values) together."""
        return self.key_value_heads * self.head_dim

    def adapted(self, target_modules: list[str] | str = ALL_LINEAR) -> list[LinearLayer]:
        """The linear layers that an adapter of these target_modules is put beside."""
        if target_modules == ALL_LINEAR:
            return self.linear
        return [layer for layer in self.linear if layer.name in target_modules]

    def adapter_parameters(
        self, r: int, target_modules: list[str] | str = ALL_LINEAR, *, dora: bool = False
    ) -> int:
        """Numbers in a LoRA: r × (inputs + outputs) for each layer (Hu et al. 2021, section 4.1).

        DoRA adds one magnitude for each output (Liu et al. 2024, equation 5).
        """
        return sum(
            layer.count * (r * (layer.inputs + layer.outputs) + (layer.outputs if dora else 0))
            for layer in self.adapted(target_modules)
        )


def model_shape(base_model: str, revision: str | None = None) -> ModelShape:
    """The shape of a base model: a Hub id, a folder, a GGUF file or an embedded model.

    Counted once for each config.json and kept in the cache. Of a Hub model that is not on this machine
    config.json alone is fetched. Raises NotFound, NotReady when it cannot be fetched, or NotValid.
    """
    file = local_config(base_model, revision)
    kept = cache_folder() / "shapes" / f"{sha256_file(file)[:32]}.json"
    if kept.is_file():
        try:
            return ModelShape.load(kept).model_copy(update={"base_model": base_model})
        except NotValid:
            pass  # of another release: counted again
    shape = read_shape(file, base_model)
    if shape.exact:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shape.save(kept)
    return shape


def read_shape(file: Path, base_model: str) -> ModelShape:
    """The shape that a config.json describes. Raises NotValid for one that describes no language model."""
    try:
        settings = json.loads(file.read_bytes())
    except ValueError as error:
        raise NotValid(f"{file} is no JSON: {error}") from None
    if all(find_spec(name) is not None for name in ("torch", "transformers")):
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(file.parent)
        except (ValueError, KeyError, OSError):
            # A family that this release of transformers does not know, or one with code of its own.
            return approximate_shape(settings, base_model)
        return count_shape(config, base_model)
    return approximate_shape(settings, base_model)


def count_shape(config: Any, base_model: str) -> ModelShape:
    """The shape of a transformers configuration, counted on a model without numbers."""
    import torch
    from transformers import AutoModelForCausalLM

    text = config.get_text_config()
    try:
        # A run may be asking, whose adapter is drawn from the same generator.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise NotValid(
            f"{base_model}: config.json describes no causal language model: {str(error).splitlines()[0]}"
        ) from None
    sizes = _numbers({**config.to_dict(), **text.to_dict(), **_attributes(text)}, base_model)
    parameters = sum(p.numel() for p in model.parameters())
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    share = _experts_share(text)
    linear = _linear_layers(model)
    embedding = model.get_input_embeddings().weight.numel()
    head = model.get_output_embeddings()
    return ModelShape(
        base_model=base_model,
        family=str(text.model_type),
        parameters=parameters,
        active_parameters=round(parameters - experts * (1 - share)),
        embedding_parameters=embedding,
        tied=head is None or head.weight is model.get_input_embeddings().weight,
        gated=any("gate" in layer.name and "proj" in layer.name for layer in linear),
        normalised=_normalised(model, sizes),
        linear=linear,
        stored_width=_width(getattr(config, "dtype", None) or getattr(text, "dtype", None)),
        exact=True,
        **{name: value for name, value in sizes.items() if name != "model_type"},
    )


def approximate_shape(settings: dict[str, Any], base_model: str) -> ModelShape:
    """The shape by the formulas of a Llama, for what transformers cannot build; `exact` is False."""
    text = {**settings, **(settings.get("text_config") or {})}
    sizes = _numbers(text, base_model)
    h, wide = sizes["hidden"], sizes["intermediate"]
    queries, keys = sizes["heads"] * sizes["head_dim"], sizes["key_value_heads"] * sizes["head_dim"]
    family = str(text.get("model_type", "unknown"))
    gated = family not in UNGATED
    shapes = [("q_proj", h, queries), ("k_proj", h, keys), ("v_proj", h, keys), ("o_proj", queries, h)]
    shapes += [("gate_proj", h, wide)] if gated else []
    shapes += [("up_proj", h, wide), ("down_proj", wide, h)]
    layers = sizes["layers"]
    linear = [LinearLayer(name=n, inputs=i, outputs=o, count=layers) for n, i, o in shapes]
    embedding = h * sizes["vocabulary"]
    tied = bool(text.get("tie_word_embeddings", False))
    body = sum(layer.inputs * layer.outputs * layer.count for layer in linear) + h * (2 * layers + 1)
    parameters = body + embedding * (1 if tied else 2)
    return ModelShape(
        base_model=base_model,
        family=family,
        parameters=parameters,
        active_parameters=parameters,
        embedding_parameters=embedding,
        tied=tied,
        gated=gated,
        normalised=2 * h,
        linear=linear,
        stored_width=_width(settings.get("dtype") or settings.get("torch_dtype") or text.get("dtype")),
        exact=False,
        **sizes,
    )


def _width(dtype: Any) -> int:
    """4 where nothing is said: that is how PyTorch saves."""
    return 2 if str(dtype).rpartition(".")[2] in ("bfloat16", "float16") else 4


def _attributes(config: Any) -> dict[str, Any]:
    """The usual names, which a family's configuration may have under its own (attribute_map)."""
    return {
        name: value
        for name in (*ALIASES, "head_dim")
        if isinstance(value := getattr(config, name, None), int)
    }


def _numbers(settings: dict[str, Any], base_model: str) -> dict[str, Any]:
    """The sizes under one set of names. Raises NotValid naming what is missing."""

    def number(name: str) -> int | None:
        found = (settings.get(key) for key in (name, *ALIASES.get(name, ())))
        return next((value for value in found if isinstance(value, int) and value > 0), None)

    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    missing = [name for name in needed if number(name) is None]
    if missing:
        raise NotValid(
            f"{base_model}: config.json does not say {', '.join(missing)}, so it is no decoder of text that could be"
            " trained here. Choose another base_model."
        )
    hidden, layers, heads, vocabulary = (number(name) or 0 for name in needed)
    return {
        "hidden": hidden,
        "layers": layers,
        "heads": heads,
        "vocabulary": vocabulary,
        "intermediate": number("intermediate_size") or 4 * hidden,
        "key_value_heads": number("num_key_value_heads") or heads,
        "head_dim": number("head_dim") or hidden // heads,
        "positions": number("max_position_embeddings"),
    }


def _experts_share(config: Any) -> float:
    """The part of the experts that a token passes; 1 for a model without any."""
    chosen = getattr(config, "num_experts_per_tok", None)
    every = next(
        (
            n
            for k in ("num_experts", "num_local_experts", "n_routed_experts")
            if (n := getattr(config, k, None))
        ),
        None,
    )
    return chosen / every if isinstance(chosen, int) and isinstance(every, int) else 1.0


def _linear_layers(model: Any) -> list[LinearLayer]:
    """Every linear layer but the head, by the last part of its name."""
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    counts: dict[tuple[str, int, int], int] = {}
    for name, module in model.named_modules():
        if module is head or not isinstance(module, torch.nn.Linear | Conv1D):
            continue
        first, second = module.weight.shape
        inputs, outputs = (first, second) if isinstance(module, Conv1D) else (second, first)
        key = (name.rpartition(".")[2], inputs, outputs)
        counts[key] = counts.get(key, 0) + 1
    return [LinearLayer(name=n, inputs=i, outputs=o, count=c) for (n, i, o), c in counts.items()]


def _normalised(model: Any, sizes: dict[str, Any]) -> int:
    """Numbers of a token that pass the norms of one layer, on average over the layers."""
    widths = 0
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if (
            "Norm" not in type(module).__name__
            or weight is None
            or (".layers." not in name and ".h." not in name)
        ):
            continue
        last = name.rpartition(".")[2]
        # A norm over one head is applied to every head.
        times = (
            1
            if weight.numel() != sizes["head_dim"]
            else sizes["heads"]
            if last.startswith("q")
            else sizes["key_value_heads"]
        )
        widths += weight.numel() * times
    return round(widths / sizes["layers"]) or 2 * sizes["hidden"]
