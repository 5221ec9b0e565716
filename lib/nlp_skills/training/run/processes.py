"""One run in several processes, one for each GPU: the run itself stays, starts them, and they end with it.

run.py (holds the lock and the devices) ── accelerate launch ──▶ worker 0, writes everything
                                                            └──▶ worker 1, 2 … only compute
On a processor torch's own launcher takes accelerate's place, which would ask for MPI.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_skills.base_model import compute_device
from nlp_skills.errors import NotReady
from nlp_skills.records import to_yaml, write_atomic
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.devices import CPU

WORKER = "NLP_SKILLS_WORKER"
"""Set for the processes that a run has started."""
FAILURE = "worker-error.txt"
LOOKS_EVERY = 5.0
"""Seconds between two looks at whether a worker still says something."""


def is_worker() -> bool:
    """Whether a run has started this process to do its work."""
    return os.environ.get(WORKER) == "1"


def is_writer() -> bool:
    """Whether this process writes: the first worker, or the only process."""
    return not is_worker() or os.environ.get("RANK", "0") == "0"


def launch_config(config: TrainConfig) -> dict[str, Any]:
    """What `accelerate launch --config_file` reads; after TRL's own (trl/accelerate_configs)."""
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "debug": False,
        "downcast_bf16": "no",
        "enable_cpu_affinity": False,
        "machine_rank": 0,
        "main_process_port": 0,  # a free one: two runs may share a machine
        "main_training_function": "main",
        "mixed_precision": "no",  # the weights are bfloat16 already where that is fast
        "num_machines": 1,
        "num_processes": config.num_processes,
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
    }
    if config.distributed == "ddp":
        return {**settings, "distributed_type": "MULTI_GPU", "gpu_ids": "all"}
    if config.distributed == "deepspeed":
        stages = {
            "deepspeed_multinode_launcher": "standard",
            "offload_optimizer_device": "none",
            "offload_param_device": "none",
            "zero3_init_flag": True,
            "zero3_save_16bit_model": True,
            "zero_stage": 3,
        }
        return {**settings, "distributed_type": "DEEPSPEED", "deepspeed_config": stages}
    parts = {
        "fsdp_version": 2,
        "fsdp_activation_checkpointing": config.gradient_checkpointing,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_offload_params": False,
        "fsdp_reshard_after_forward": True,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
    }
    return {**settings, "distributed_type": "FSDP", "fsdp_config": parts}


def launch_command(config: TrainConfig, devices: list[str], file: Path) -> list[str]:
    """The launcher and its arguments. Raises NotReady for what this machine cannot do."""
    if config.num_processes == 1:
        return [sys.executable, "-P"]
    if devices == [CPU]:
        if config.distributed != "ddp":
            raise NotReady(f"distributed: {config.distributed} needs GPUs; on a processor it is ddp.")
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={config.num_processes}"]
        return [sys.executable, "-P", "-m", *launcher]
    if config.distributed == "deepspeed" and find_spec("deepspeed") is None:
        raise NotReady("distributed: deepspeed needs DeepSpeed. Install it with: uv pip install deepspeed")
    write_atomic(file, to_yaml(launch_config(config)))
    return [sys.executable, "-P", "-m", "accelerate.commands.launch", "--config_file", str(file)]


def run_workers(
    task: Path, version: str, config: TrainConfig, devices: list[str], look: Callable[[], None]
) -> int:
    """Start the workers and wait until they have ended; their exit status. `look` is called while they work."""
    place = task / "models" / version
    place.mkdir(parents=True, exist_ok=True)
    (place / FAILURE).unlink(missing_ok=True)
    command = launch_command(config, devices, place / "accelerate.yaml")
    command += ["-m", "nlp_skills.training.run.run", str(task.resolve()), version]
    environment = {**os.environ, WORKER: "1", "PYTHONSAFEPATH": "1"}
    # They read this pipe, and it ends when this process does, whatever ends it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as workers:
        while True:
            try:
                return workers.wait(timeout=LOOKS_EVERY)
            except subprocess.TimeoutExpired:
                look()


@contextmanager
def joined_processes(output: Path) -> Iterator[Any]:
    """Meet the other processes of the run before any weight is loaded; nothing in a run of one process.

    Then each process has its GPU, and DeepSpeed's settings are known, by which transformers divides the weights as it loads
    them; they live as long as the arguments that are given here.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    from transformers import TrainingArguments

    # A trainer would make this too late: when the model is there already.
    yield TrainingArguments(output_dir=str(output), report_to="none", use_cpu=compute_device() == "cpu")


def failure_of(task: Path, version: str) -> str | None:
    """What the first worker that failed has said."""
    file = task / "models" / version / FAILURE
    return file.read_text(encoding="utf-8") if file.is_file() else None


def report_failure(task: Path, version: str, text: str) -> None:
    """What the run says when this worker fails; the first counts. On a full disk nothing can be left behind."""
    file = task / "models" / version / FAILURE
    if not file.exists():
        with suppress(OSError):
            write_atomic(file, text.encode())


def end_with_parent() -> None:
    """End this worker when the run that started it has ended: nobody else would."""
    if sys.platform == "linux":
        import ctypes

        # PR_SET_PDEATHSIG: at once, also in the middle of a long computation.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
