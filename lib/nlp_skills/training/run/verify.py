"""Whether a run has made what it was to make: looked at before it is called a success (P07, P13, P15, P34).

in the run                the saved tensors are finite, no adapter is the identity, its answer differs from the base model's
in a process of its own   the files are whole and load: every key of the adapter finds its place, in its shape
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.errors import RunFailed
from nlp_skills.records import read_mapping

NEEDED = ("tokenizer.json", "tokenizer_config.json")
LOOKED_AT, LAST = 4, 8
"""Training rows, and places of each, on which trained and base model are compared."""


def check_model(folder: Path) -> None:
    """RUN-NAN and RUN-DELTA: the saved tensors are finite, and an adapter is not the identity.

    Raises RunFailed; a run that did not learn is not called a success.
    """
    from safetensors import safe_open

    learned = False
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RunFailed(f"RUN-DELTA: {folder} holds no weights after the run. Train the version again.")
    adapter = (folder / "adapter_config.json").is_file()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (safe_open has no __iter__)
                tensor = tensors.get_tensor(key)
                if not tensor.isfinite().all():
                    raise RunFailed(
                        f"RUN-NAN: {key} holds NaN or infinity. Lower learning_rate, or use bfloat16."
                    )
                learned = learned or not adapter or ("lora_B" in key and bool(tensor.abs().sum() > 0))
    if not learned:
        raise RunFailed(
            "RUN-DELTA: nothing was learned: the adapter is still the identity (every lora_B is zero). In a run of one"
            " step the learning rate has not risen yet: make a version with more epochs, or bring more rows."
            " Otherwise check target_modules."
        )


def check_changed(folder: Path, base: BaseModelFiles) -> bool:
    """RUN-DELTA: some weight of a fully trained model is another number than in the base model. Raises RunFailed.

    Compared are the files, so also what FSDP and DeepSpeed have put together; both in float32, in which they were
    trained. False: the files have no names in common, and nothing is known.
    """
    saved, before = (dict(weight_files(place)) for place in (folder, weights_folder(base)))
    shared = [key for key in saved if key in before]
    if not shared:
        return False
    for key in shared:
        now, then = saved[key](key), before[key](key)
        if now.shape != then.shape or not bool((now.float() == then.float()).all()):
            return True
    raise RunFailed(
        f"RUN-DELTA: nothing was learned: all {len(shared)} weights are those of the base model. In a run of one step the"
        " learning rate has not risen yet: make a version with more epochs, or bring more rows. Otherwise raise"
        " learning_rate."
    )


def weights_folder(base: BaseModelFiles) -> Path:
    """Where the files of a base model lie; those of a Hub model in the Hub's cache."""
    if Path(base.path).is_dir():
        return Path(base.path)
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(base.path, "config.json", revision=base.revision)
    return Path(config).parent if isinstance(config, str) else Path(base.path)


def weight_files(folder: Path) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """(name of a weight, what reads it) for all in a folder; of PyTorch's own files where there are no others."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            yield from ((key, partial(_read_weight, file)) for key in tensors.keys())  # noqa: SIM118
    if any(folder.glob("*.safetensors")):
        return
    import torch

    for file in sorted(folder.glob("pytorch_model*.bin")):
        weights = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        yield from ((key, weights.__getitem__) for key in weights)


def _read_weight(file: Path, key: str) -> Any:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return tensors.get_tensor(key)


def check_difference(trainer: Any, rows: Sequence[Any]) -> None:
    """RUN-DELTA: on some of the training rows the tuned model answers otherwise than the base model does.

    Of an adapter alone: fully trained weights have no base model beside them. Raises RunFailed.
    """
    import torch

    model = trainer.model
    if not hasattr(model, "disable_adapter"):
        return
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            for row in rows[:LOOKED_AT]:
                tuned = _last_logits(model, _ids(row))
                with model.disable_adapter():
                    base = _last_logits(model, _ids(row))
                if not torch.equal(tuned, base):
                    return
    finally:
        model.train(was)
    raise RunFailed(
        "RUN-DELTA: on training rows the trained model gives exactly the base model's answers. Raise learning_rate or"
        " epochs, or set target_modules back to all-linear."
    )


def _last_logits(model: Any, ids: list[int]) -> Any:
    """Of the last places, where the answer is: all would take much memory."""
    import torch

    given = torch.tensor([ids], device=model.device)
    return model(input_ids=given, attention_mask=torch.ones_like(given), logits_to_keep=LAST).logits


def _ids(row: Any) -> list[int]:
    """A row's tokens with an answer, whatever the method."""
    if hasattr(row, "input_ids"):
        return row.input_ids
    for answer in ("chosen_ids", "completion_ids"):
        if hasattr(row, answer):
            return [*row.prompt_ids, *getattr(row, answer)]
    return row.prompt_ids


def check_fresh_load(folder: Path, base: str) -> None:
    """Load what was saved in a process that knows nothing of the run. Raises RunFailed with what it said."""
    command = [sys.executable, "-P", "-m", "nlp_skills.training.run.verify", str(folder), base]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with exit status {done.returncode}"]
        raise RunFailed(
            f"TOK-RESIZE: what was saved cannot be loaded again: {said[-1]} Train the version again."
        )


def load_saved(folder: Path, base: str) -> None:
    """Load the saved model's structure and compare every key and shape with the files; no weight of the base is read.

    `base`: the folder or Hub id of the base model, for an adapter. Raises RunFailed.
    """
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise RunFailed(f"{folder} lacks {', '.join(missing)}.")
    load_tokenizer(BaseModelFiles(name=folder.name, path=str(folder)), chat=False)
    adapter = (folder / "adapter_config.json").is_file()
    config = AutoConfig.from_pretrained(base if adapter else folder)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
        wanted = _adapter_shapes(model, folder) if adapter else _shapes(model.state_dict())
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            found |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    _require_same(found, {k: v for k, v in wanted.items() if adapter or k in found or k not in tied})


def _adapter_shapes(model: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    """The keys that PEFT looks for in the adapter's file."""
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    settings = {**read_mapping(folder / "adapter_config.json"), "inference_mode": False}
    known = {k: v for k, v in settings.items() if k in LoraConfig.__dataclass_fields__ and k != "peft_type"}
    made: Any = get_peft_model(model, LoraConfig(**known))
    return _shapes(get_peft_model_state_dict(made))


def _shapes(weights: Any) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in weights.items()}


def _require_same(found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    for key, shape in wanted.items():
        if found.get(key) != shape:
            told = f"has shape {found[key]} instead of {shape}" if key in found else "is missing"
            raise RunFailed(f"{key} {told}.")
    extra = sorted(set(found) - set(wanted))
    if extra:
        raise RunFailed(f"{extra[0]} has no place in the model.")


if __name__ == "__main__":
    # PEFT would import it for 4-bit weights, with half of torch's compiler: four seconds, and none are loaded here.
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    try:
        load_saved(Path(sys.argv[1]), sys.argv[2])
    except RunFailed as failure:
        sys.stderr.write(f"{failure}\n")
        sys.exit(1)
