"""Peak memory of a training process, from the base model's shape, the settings and the longest batch.

    process + weights + adapter + optimiser + the fullest moment of a step, which is one of

        backward begins     activations of all layers + logits      (+ gradients, where batches are accumulated)
        backward ends       gradients + activations of one layer
        generation (grpo)   key-value cache
        validation          activations of one layer + logits of as many rows as are validated at once

or the moment before all that, when the weights are read and converted from a mapped file.

Sizes follow what autograd keeps in transformers 5's modules, verified against the saved tensors of real
models in tests/training/test_memory.py; the constants below are fitted to measured runs
(benchmarks/memory.py, docs/benchmarks.md). The idea: Korthikanti et al. 2022, "Reducing Activation
Recomputation in Large Transformer Models", arXiv:2205.05198, section 4, for the modules of today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nlp_skills.base_model import SHORT_ROWS
from nlp_skills.records import Record
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLength

Device = Literal["cpu", "cuda", "mps"]
MIB = 2**20

PROCESS_MB: dict[Device, float] = {"cpu": 1_000.0, "mps": 1_000.0, "cuda": 0.0}
"""Python with torch, transformers, TRL and PEFT imported and a trainer made; on a GPU it does not count."""

OVERHEAD: dict[Device, float] = {"cpu": 1.3, "mps": 1.2, "cuda": 1.03}
"""What a step's memory takes over its tensors: the C allocator keeps pieces, oneDNN reorders weights."""

BESIDE_SHARE, CONTEXT_MB = 0.06, 700.0
"""On a GPU beside the measured peak: what the allocator holds in reserve, of the peak, and a CUDA context with its libraries."""

LOGIT_BYTES = 27
"""A labelled place's bytes for each word of the vocabulary; the tensors alone would be 12 to 22, from moment to moment."""

TILE_ROWS, TILE_COLUMNS = 4096, 32_768
"""TRL's fused head works through logits in tiles of so many places and words (trl/kernels/chunked_logprob.py)."""

NF4_BYTES = 0.5 + 0.127 / 8
"""A weight in 4 bits with doubly quantised constants (Dettmers et al. 2023, arXiv:2305.14314, section 3)."""

VALIDATED_BYTES = 12
"""The same in validation, where nothing is kept for a backward pass: logits, chosen ones, float32 and its softmax."""

PAIRS = ("dpo", "orpo")
"""Methods whose batch holds a chosen and a rejected answer for each row."""


class MemoryEstimate(Record):
    """Predicted peak, in MiB: of the process on a processor, of the tensors on a GPU."""

    device: Device
    peak_mb: float
    needed_mb: float
    """What has to be free: the peak, and what is beside it."""
    parts: dict[str, float]
    """What it is made of; the parts of the fullest moment, so that they add up to the peak."""
    moment: str
    """When the memory is fullest."""
    beside: dict[str, float] = {}
    """On a GPU, what has to be free beside the tensors."""


@dataclass(frozen=True)
class Batch:
    """The longest batch of a run: `rows` sequences, padded to `length` tokens."""

    rows: int
    length: int
    labelled: int
    """Tokens that the loss sees, all rows together."""
    columns: int
    """Places at which at least one row has a labelled token."""
    padded: bool
    """Whether the rows differ in length, so that attention needs a mask."""

    @property
    def tokens(self) -> int:
        """Places in the batch."""
        return self.rows * self.length


def longest_batch(longest: Sequence[RowLength], config: TrainConfig) -> Batch:
    """The fullest batch that a run meets: its longest rows together (batches are made of rows of like length).

    A pack is as long as max_length. grpo's rows are prompts: each is answered num_generations times, up to
    max_completion_length.
    """
    size = config.per_device_train_batch_size
    rows = list(longest) or [RowLength(config.max_length, 1)]
    if config.packing:
        share = sum(row.trained for row in rows) / sum(row.tokens for row in rows)
        length = config.max_length
        labelled = round(length * share) if _learns_answers(config) else length
        return Batch(size, length, size * labelled, length, padded=False)
    return _batch(rows, size, config)


def validation_batch(longest: Sequence[RowLength], config: TrainConfig) -> Batch:
    """The fullest batch of a validation, whose rows are about as long as the training rows."""
    rows = list(longest) or [RowLength(config.max_length, 1)]
    return _batch(rows, config.per_device_eval_batch_size, config)


def _learns_answers(config: TrainConfig) -> bool:
    return config.method != "cpt" and config.assistant_only_loss


def _batch(longest: Sequence[RowLength], size: int, config: TrainConfig) -> Batch:
    rows = [*longest[:size], *[longest[-1]] * (size - len(longest))]
    if config.method == "grpo":
        answer = config.max_completion_length
        length = max(row.tokens - row.trained for row in rows) + answer
        return Batch(len(rows), length, len(rows) * answer, answer, padded=True)
    cut = [RowLength(min(row.tokens, config.max_length), min(row.trained, config.max_length)) for row in rows]
    if not _learns_answers(config):
        cut = [RowLength(row.tokens, row.tokens) for row in cut]
    length = max(row.tokens for row in cut)
    sides = 2 if config.method in PAIRS else 1
    starts = min(row.tokens - row.trained / sides for row in cut)
    return Batch(
        rows=len(cut) * sides,
        length=length,
        labelled=sum(row.trained for row in cut),
        columns=round(length - starts),
        padded=len({row.tokens for row in cut}) > 1 or sides > 1,
    )


def estimate_memory(
    shape: ModelShape,
    config: TrainConfig,
    batch: Batch,
    device: Device,
    dtype: str,
    *,
    validated: Batch | None = None,
) -> MemoryEstimate:
    """The peak of a run, of one process of it; `dtype` is that of the frozen weights: bfloat16 or float32.

    `validated`: the fullest batch of its validations, where there are any. Full fine-tuning keeps float32 weights
    whatever the dtype (preflight/trainable_model.py).
    """
    width = 4 if dtype == "float32" or config.peft == "none" else 2
    trained = trained_parameters(shape, config)
    # float32: weight, and in the optimiser two moments (Adam: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1).
    parts_of = sharing_processes(config)
    kept = {
        "process": PROCESS_MB[device],
        "weights": weight_bytes(shape, config, width) / parts_of / MIB,
        "adapter": 0.0 if config.peft == "none" else trained * 4 / parts_of / MIB,
        "optimiser": trained * 8 / parts_of / MIB,
    }
    reference = _reference_bytes(shape, config) / parts_of
    if reference:
        kept["reference model"] = reference / MIB
    if parts_of > 1:
        kept["layers put together"] = _gathered_bytes(shape, config, width) / MIB
    layer = layer_bytes(shape, config, batch, device, width)
    gradients = trained * 4 / parts_of
    logits = logit_bytes(shape, config, batch, device, width)
    inputs = batch.tokens * shape.hidden * width
    saved = (
        shape.layers * inputs + layer if config.gradient_checkpointing else shape.layers * layer
    ) + inputs
    accumulated = gradients if config.gradient_accumulation_steps > 1 else 0
    passing = passing_bytes(shape, config, batch, device, width)
    moments: dict[str, dict[str, float]] = {
        "the backward pass begins": {"activations": saved, "logits": logits, "gradients": accumulated},
        "the backward pass ends": {"activations": layer + passing, "gradients": gradients},
    }
    if config.method == "grpo":
        moments["answers are generated"] = _generation_bytes(shape, batch, width)
    if validated is not None and config.method == "grpo":
        moments["rows are validated"] = _generation_bytes(shape, validated, width)
    elif validated is not None:
        moments["rows are validated"] = {
            "activations": _validation_bytes(shape, config, validated, device, width),
            "logits": _validation_logits(shape, config, validated, device, width),
        }
    moment, fullest = max(moments.items(), key=lambda item: sum(item[1].values()))
    spent = sum(fullest.values())
    parts = {
        **kept,
        **{name: size / MIB for name, size in fullest.items() if size},
        "workspace": spent * (OVERHEAD[device] - 1) / MIB,
    }
    loading = {key: kept[key] for key in ("process", "weights")} | _file_while_loading(shape, device, width)
    if sum(loading.values()) > sum(parts.values()):
        moment, parts = "the weights are read", loading
    peak = sum(parts.values())
    beside = _beside(peak) if device == "cuda" else {}
    return MemoryEstimate(
        device=device,
        peak_mb=round(peak, 1),
        needed_mb=round(peak + sum(beside.values()), 1),
        parts={name: round(size, 1) for name, size in parts.items() if size},
        moment=moment,
        beside={name: round(size, 1) for name, size in beside.items()},
    )


def _beside(peak: float) -> dict[str, float]:
    reserve = f"allocator's reserve ({100 * BESIDE_SHARE:.0f} %)"
    return {reserve: peak * BESIDE_SHARE, "CUDA context": CONTEXT_MB}


def sharing_processes(config: TrainConfig) -> int:
    """How many processes hold the model together; with ddp each has all of it.

    fsdp and deepspeed (stage 3) divide weights, gradients and optimiser alike: Rajbhandari et al. 2020, "ZeRO",
    arXiv:1910.02054, section 5.
    """
    return 1 if config.distributed == "ddp" else config.num_processes


def _gathered_bytes(shape: ModelShape, config: TrainConfig, width: int) -> float:
    """Two layers, of which one is computed and the next on its way, and the embedding, which is always whole."""
    layer = sum(part.inputs * part.outputs * part.count for part in shape.linear) / shape.layers
    return (2 * layer + shape.embedding_parameters) * width + (
        0 if config.peft == "none" else trained_parameters(shape, config) / shape.layers * 4
    )


def _generation_bytes(shape: ModelShape, batch: Batch, width: int) -> dict[str, float]:
    cache = 2 * shape.layers * batch.tokens * shape.key_width * width
    return {
        "key-value cache": 2 * cache,  # it grows by copying: the old and the new one stand side by side
        "logits": batch.rows * shape.vocabulary * (4 + 4 + width),
    }


def _validation_bytes(
    shape: ModelShape, config: TrainConfig, batch: Batch, device: Device, width: int
) -> float:
    """One layer at a time: what it reads and makes, nothing of it kept."""
    return batch.tokens * shape.hidden * width + passing_bytes(shape, config, batch, device, width)


def _validation_logits(
    shape: ModelShape, config: TrainConfig, batch: Batch, device: Device, width: int
) -> float:
    """As logit_bytes, without what gradients need."""
    if config.method in ("sft", "cpt") and device != "cuda":
        every = batch.rows * batch.columns
        return shape.vocabulary * (width * every + VALIDATED_BYTES * batch.labelled)
    return logit_bytes(shape, config, batch, device, width)


def _file_while_loading(shape: ModelShape, device: Device, width: int) -> dict[str, float]:
    """Weights that are kept in another dtype than the file's stand beside it, mapped into memory, until all are read."""
    if device == "cuda" or shape.stored_width == width:
        return {}
    return {"file of the weights": shape.parameters * shape.stored_width / MIB}


def trained_parameters(shape: ModelShape, config: TrainConfig) -> int:
    """Numbers that the optimiser changes."""
    if config.peft == "none":
        return shape.parameters
    return shape.adapter_parameters(config.lora_r, config.target_modules, dora=config.peft == "dora")


def weight_bytes(shape: ModelShape, config: TrainConfig, width: int) -> float:
    """The base model's weights; with qlora its linear layers in 4 bits, embeddings and norms as they are."""
    if config.peft != "qlora":
        return shape.parameters * width
    linear = sum(layer.inputs * layer.outputs * layer.count for layer in shape.linear)
    largest = max(layer.inputs * layer.outputs for layer in shape.linear)
    # One matrix at a time is unpacked to be multiplied with.
    return linear * NF4_BYTES + (shape.parameters - linear) * width + largest * width


def _reference_bytes(shape: ModelShape, config: TrainConfig) -> float:
    """dpo and kto compare with the base model: an adapter is switched off for that, full fine-tuning needs a copy.

    So does grpo where beta is not 0 (TRL 1.16, `ref_model`).
    """
    compared = config.method in ("dpo", "kto") or (config.method == "grpo" and bool(config.beta))
    return shape.parameters * 4 if compared and config.peft == "none" else 0


def layer_bytes(shape: ModelShape, config: TrainConfig, batch: Batch, device: Device, width: int) -> float:
    """What autograd keeps of one layer for the backward pass.

    Per token, `width` bytes a number (2 in bfloat16):
        norms       what is normalised, in float32, and the result that the projections read
        attention   queries, keys, values and the result; without a fused kernel also the probabilities, once in
                    float32 and once rounded (heads x tokens each), and keys and values repeated for every head
        MLP         activation's input and output, what comes up beside the gate, and their product
        adapter     the r numbers between A and B; DoRA also both results of each layer, and an identity matrix
    Full fine-tuning also keeps the normalised values for the norms' own weights.
    """
    queries, keys = shape.query_width, shape.key_width
    full = config.peft == "none"
    norms = 4 * shape.normalised + width * (2 * shape.hidden + (shape.normalised if full else 0))
    if is_plain_attention(batch, device):
        heads = shape.heads * batch.length
        attention = 5 * width * queries + heads * (4 + (width if width == 2 else 0))
    else:
        # A mask keeps PyTorch from reading grouped heads as they are (transformers' use_gqa_in_sdpa).
        attention = width * (2 * queries + 2 * (queries if batch.padded else keys)) + 4 * shape.heads
    middle = (4 if shape.gated else 2) * width * shape.intermediate
    per_token = norms + attention + middle
    # The mask is a row of numbers for each token, made anew in each layer of the fused kernel.
    masked = batch.padded and not is_plain_attention(batch, device)
    per_token += width * batch.length if masked else 0
    constant = 0.0
    if not full:
        adapted = shape.adapted(config.target_modules)
        share = 1 / shape.layers
        per_token += width * config.lora_r * sum(layer.count for layer in adapted) * share
        if width == 2:  # the adapter's weights, rounded for the product
            constant += 2 * shape.adapter_parameters(config.lora_r, config.target_modules) * share
        if config.peft == "dora":
            per_token += 2 * width * sum(layer.outputs * layer.count for layer in adapted) * share
            constant += width * sum(layer.inputs**2 * layer.count for layer in adapted) * share
    return per_token * batch.tokens + constant


def is_plain_attention(batch: Batch, device: Device) -> bool:
    """Short rows on a processor go without the fused kernel (base_model.load_base_model)."""
    return device == "cpu" and batch.length <= SHORT_ROWS


def passing_bytes(shape: ModelShape, config: TrainConfig, batch: Batch, device: Device, width: int) -> float:
    """What comes and goes while a layer's gradients are computed: its widest results, with a gradient each."""
    wide = 3 * width * shape.intermediate + 8 * shape.hidden
    if is_plain_attention(batch, device):
        wide = max(wide, shape.heads * batch.length * (8 + width))
    largest = max(layer.inputs * layer.outputs for layer in shape.linear)
    return wide * batch.tokens + (largest * 4 if config.peft == "none" else 0)


def logit_bytes(shape: ModelShape, config: TrainConfig, batch: Batch, device: Device, width: int) -> float:
    """The head, when the loss is computed.

    sft on a processor (methods/sft.py): logits of all columns with a label, and of the labelled places once more,
    in float32, as log-probabilities and twice as gradients: LOGIT_BYTES together. Everywhere else
    TRL's fused head: a tile, off CUDA with a few copies in float32, and the gradient of the hidden states. Full fine-tuning adds the head's own gradient.
    """
    own = shape.embedding_parameters * 4 if config.peft == "none" else 0
    if config.method in ("sft", "cpt") and device != "cuda":
        unlabelled = batch.rows * batch.columns - batch.labelled
        return shape.vocabulary * (width * unlabelled + LOGIT_BYTES * batch.labelled) + own
    scored = batch.labelled
    tile = min(TILE_ROWS, scored) * min(TILE_COLUMNS, shape.vocabulary)
    return tile * (width + (0 if device == "cuda" else 16)) + scored * shape.hidden * (4 + width) + own
