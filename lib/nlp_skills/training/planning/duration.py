"""How long a run takes: its floating-point operations over what the device does in a second.

A product with a weight takes two operations a token. Forward, and backward for the input and for the weight:

    full        6 N a token        (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)
    adapter     4 N                the frozen weights get no gradient; the adapter's own 6 A come on top
    checkpointing                  one more forward pass, 2 N: x 4/3 for full, x 3/2 for an adapter
    attention   4 x width x tokens a layer forward (scores and sums), times what the pass takes

N: the weights that a token is multiplied with, so not the input embedding; the head only where there is a label.
"""

from __future__ import annotations

from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.arguments import steps_per_epoch, total_steps
from nlp_skills.training.planning.hardware import Hardware
from nlp_skills.training.planning.memory import Device, trained_parameters
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLengths

EFFICIENCY: dict[tuple[str, str], float] = {
    ("cpu", "bfloat16"): 0.30,
    ("cpu", "float32"): 0.72,
    ("mps", "bfloat16"): 0.30,
    ("mps", "float32"): 0.40,
    ("cuda", "bfloat16"): 0.35,
    ("cuda", "float32"): 0.45,
}
"""Of the bare product, what a training step reaches (docs/benchmarks.md; on GPUs: PaLM, arXiv:2204.02311, table 3)."""

ADAPTER_SHARE = {"lora": 1.0, "dora": 0.82, "qlora": 0.75, "none": 1.0}
"""Speed beside LoRA's, measured on a processor (docs/benchmarks.md)."""

PADDING = 1.06
"""Batches of like length hold so many places for each token."""

TOKEN_SECONDS = {"cpu": 0.02, "mps": 0.03, "cuda": 0.025}
"""What a token costs at least while answers are generated (grpo), whatever the model: Python and kernel starts."""

LAYER_SECONDS = {"cpu": 0.0, "mps": 0.004, "cuda": 0.004}
"""What a layer costs at least in a batch, forward and backward: some 200 kernel starts of 20 microseconds. Not measured."""

START_SECONDS = 3.0
"""Building the trainer and saving the model."""


def step_flops_per_token(shape: ModelShape, config: TrainConfig, length: float) -> float:
    """Operations for a token of a row of `length` tokens, forward and backward, without the head."""
    matrices = shape.active_parameters - shape.embedding_parameters * (1 if shape.tied else 2)
    forward = 2 * matrices + 4 * shape.layers * shape.query_width * length
    full = config.peft == "none"
    times = (3 if full else 2) + (1 if config.gradient_checkpointing else 0)
    return times * forward + (0 if full else 6 * trained_parameters(shape, config))


def run_flops(shape: ModelShape, config: TrainConfig, lengths: RowLengths) -> float:
    """Operations of the training steps of a run.

    dpo sees both answers, and both again through the reference; orpo both. kto sees a row, and three more
    forward passes (the reference, and a mismatched answer through both). grpo trains on its own answers.
    """
    rows, length, labelled = lengths.rows, lengths.mean, lengths.mean_trained
    if config.packing or config.method == "cpt" or not config.assistant_only_loss:
        labelled = length
    sequences, extra = {"dpo": (2, 2), "orpo": (2, 0), "kto": (1, 3)}.get(config.method, (1, 0))
    if config.method == "grpo":
        labelled = config.max_completion_length / 2
        length = lengths.mean - lengths.mean_trained + labelled
        sequences, extra = 1, (1 if config.beta else 0)
    body = step_flops_per_token(shape, config, length)
    forward = step_flops_per_token(
        shape, config.model_copy(update={"gradient_checkpointing": False}), length
    ) / (3 if config.peft == "none" else 2)
    head = 2 * shape.embedding_parameters * labelled * (3 if config.peft == "none" else 2)
    if config.replay_file is not None:
        rows = rows / (1 - config.replay_share)
    each = (
        sequences * length * PADDING * body
        + head
        + extra * (length * PADDING * forward + 2 * shape.embedding_parameters * labelled)
    )
    return each * rows * config.epochs * (config.num_generations if config.method == "grpo" else 1)


def run_seconds(
    shape: ModelShape, config: TrainConfig, lengths: RowLengths, hardware: Hardware, valid_rows: int = 0
) -> float | None:
    """Seconds of a run, its validations included; None where nothing is known about the hardware's speed.

    Several GPUs share the rows; what they lose by talking is not counted.
    """
    rate = flops_per_second(config, hardware)
    if rate is None:
        return None
    devices = max(1, min(hardware.gpus, config.num_processes))
    batches = lengths.rows * config.epochs / config.per_device_train_batch_size
    least = batches * shape.layers * LAYER_SECONDS[hardware.device]
    training = max(least, run_flops(shape, config, lengths) / rate)
    validations = count_validations(config, lengths.rows) if valid_rows else 0
    if config.method == "grpo":
        training += _generating_seconds(
            shape,
            config,
            hardware,
            rate,
            lengths.rows * config.epochs * config.num_generations,
            config.per_device_train_batch_size,
        )
        # Two answers to each held-out prompt (methods/grpo.py).
        validating = _generating_seconds(
            shape, config, hardware, rate, 2 * valid_rows, config.per_device_eval_batch_size
        )
    else:
        matrices = shape.active_parameters - shape.embedding_parameters
        validating = valid_rows * 2 * matrices * lengths.mean / rate
    return round((training + validations * validating) / devices + START_SECONDS, 1)


def count_validations(config: TrainConfig, rows: int) -> int:
    """How often the held-out rows are looked at: every eval_steps, or at the end of each epoch."""
    every = config.eval_steps or steps_per_epoch(config, rows)
    return max(1, total_steps(config, rows) // every)


def _generating_seconds(
    shape: ModelShape, config: TrainConfig, hardware: Hardware, rate: float, answers: float, at_once: int
) -> float:
    """Seconds to write so many answers, each as long as it may be, token by token."""
    token = max(TOKEN_SECONDS[hardware.device], 2 * shape.active_parameters * at_once / rate)
    return answers / at_once * config.max_completion_length * token


def answer_seconds(parameters: int, prompt: float, answer: float, rate: float, device: Device) -> float:
    """Seconds for one answer of `answer` tokens to a prompt of `prompt` tokens, by transformers, without a batch.

    `parameters`: those that a token passes through. A server made for it (vLLM, llama.cpp) is faster.
    """
    return 2 * parameters * prompt / rate + answer * max(TOKEN_SECONDS[device], 2 * parameters / rate)


def flops_per_second(config: TrainConfig, hardware: Hardware) -> float | None:
    """What a training step reaches on the hardware, in the dtype that config.yaml asks for or that is faster there.

    None where the hardware's speed in that dtype is not known: bfloat16 that is not computed in hardware is.
    """
    dtype = hardware.dtype if config.dtype == "auto" else config.dtype
    if config.peft == "none" and hardware.device == "cpu":
        dtype = "float32"
    bare = (
        hardware.gflops
        if dtype == hardware.dtype
        else hardware.float32_gflops
        if dtype == "float32"
        else None
    )
    if not bare:
        return None
    return bare * 1e9 * EFFICIENCY[hardware.device, dtype] * ADAPTER_SHARE[config.peft]
