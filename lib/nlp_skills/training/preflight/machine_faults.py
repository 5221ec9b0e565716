"""What is wrong with the machine or the access before a run: ENV-DOCTOR, ENV-API, HUB-ACCESS (P20, P21, P26)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2

from nlp_skills.base_model import EMBEDDED
from nlp_skills.data.report import Finding
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.devices import CPU, visible_devices
from nlp_skills.training.methods.arguments import training_arguments
from nlp_skills.training.sinks import missing_sinks

CUDA_WHEELS = "https://download.pytorch.org/whl"


def _error(check: str, message: str, fix: str) -> Finding:
    return Finding(check=check, level="error", message=message, count=0, fix=fix)


def machine_findings(config: TrainConfig) -> Iterator[Finding]:
    """ENV-DOCTOR: GPUs that torch does not see, 4-bit weights without bitsandbytes, sinks and versions that are not there."""
    import torch

    devices = visible_devices()
    if devices != [CPU] and not torch.cuda.is_available():
        built = torch.version.cuda
        why = (
            f"was built for CUDA {built}, which this driver is too old for"
            if built
            else "was built without CUDA"
        )
        yield _error(
            "ENV-DOCTOR",
            f"nvidia-smi shows {len(devices)} GPU(s), and torch {torch.__version__} {why}.",
            "Update the driver, or install a torch that fits it: uv pip install --reinstall torch --index-url"
            f" {CUDA_WHEELS}/cu126. To train on the processor instead, set CUDA_VISIBLE_DEVICES to nothing",
        )
    if config.dtype == "bfloat16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False):
        yield _error(
            "ENV-DOCTOR",
            f"{torch.cuda.get_device_name()} does not compute in bfloat16.",
            "Make a version with --settings dtype=float32",
        )
    if config.peft == "qlora":
        yield from _bitsandbytes()
    for name in missing_sinks(config.report_to):
        yield _error(
            "ENV-DOCTOR",
            f"report_to names {name}, which is not installed here.",
            f"Install it with: uv pip install {name}. Or make a version with --settings report_to=[]",
        )
    yield from wrong_versions(metadata.requires("nlp-skills") or (), _version)


def _bitsandbytes() -> Iterator[Finding]:
    fix = "Install it with: uv pip install bitsandbytes. Or make a version with --peft lora"
    if find_spec("bitsandbytes") is None:
        yield _error(
            "ENV-DOCTOR", "Training with 4-bit weights needs bitsandbytes, which is not installed.", fix
        )
        return
    try:
        import bitsandbytes  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        yield _error("ENV-DOCTOR", f"bitsandbytes cannot be loaded: {str(error).splitlines()[0]}.", fix)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def wrong_versions(requirements: Iterable[str], installed: Any) -> Iterator[Finding]:
    """ENV-DOCTOR: packages of the train extra whose version is not the one that is asked for.

    `requirements` as in a package's metadata; `installed`: package → version or None.
    """
    from packaging.requirements import Requirement

    for text in requirements:
        asked = Requirement(text)
        if (
            asked.marker is None
            or not asked.marker.evaluate({"extra": "train"})
            or asked.marker.evaluate({"extra": ""})
        ):
            continue
        found = installed(asked.name)
        if found is not None and not asked.specifier.contains(found, prereleases=True):
            yield Finding(
                check="ENV-DOCTOR",
                level="warning",
                message=f"{asked.name} {found} is installed; this library is made for {asked.name}{asked.specifier}.",
                count=0,
                fix=f"Install it with: uv pip install '{asked.name}{asked.specifier}'",
            )


def api_findings(method: Any, config: TrainConfig) -> Iterator[Finding]:
    """ENV-API: arguments that the installed TRL or PEFT does not know; they would be refused or, worse, ignored (P20)."""
    from peft import LoraConfig
    from transformers import TrainingArguments

    module = sys.modules[method.build_trainer.__module__]
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, TrainingArguments)]
    given = set(training_arguments(config, 1, Path("checkpoints"), has_valid=True))
    for kind in kinds:
        yield from unknown_arguments(given, kind, "trl")
    if config.peft != "none":
        yield from unknown_arguments({*config.lora.model_dump(), "bias", "task_type"}, LoraConfig, "peft")


def unknown_arguments(given: Iterable[str], kind: Any, package: str) -> Iterator[Finding]:
    """The names that a configuration class has no field for."""
    unknown = sorted(set(given) - {field.name for field in fields(kind)})
    if unknown:
        yield _error(
            "ENV-API",
            f"{kind.__name__} of {package} {_version(package)} has no {', '.join(unknown)}.",
            "Install the versions that uv.lock names: uv sync --extra train",
        )


def hub_findings(config: TrainConfig, is_version: bool) -> Iterator[Finding]:
    """HUB-ACCESS: a base model on the Hub that this user may not read, asked before anything is downloaded.

    Says nothing about what lies on this machine. No token is shown.
    """
    name = config.base_model
    path = Path(name).expanduser()
    if is_version or name in EMBEDDED or path.suffix == ".gguf" or path.is_dir():
        return
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    cached = isinstance(try_to_load_from_cache(name, "config.json", revision=config.base_revision), str)
    if cached:
        return
    if constants.HF_HUB_OFFLINE:
        yield _unreachable(config, "HF_HUB_OFFLINE is set")
        return
    login = "log in with: hf auth login (or set HF_TOKEN), then run the same command again"
    page = f"{constants.ENDPOINT}/{name}"
    try:
        HfApi(endpoint=constants.ENDPOINT).auth_check(name)
    except GatedRepoError:
        yield _error(
            "HUB-ACCESS", f"The base model {name} is gated.", f"Accept its terms at {page}, and {login}"
        )
    except RepositoryNotFoundError:
        yield _error(
            "HUB-ACCESS",
            f"The Hub has no base model {name}, or does not show it to you.",
            f"Check the name; where it is private, {login}",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            yield _error(
                "HUB-ACCESS",
                f"The Hub refuses the base model {name} ({status}).",
                f"Look at {page}, and {login}",
            )
    except httpx2.HTTPError as error:  # loading would try again and again for half a minute
        yield _unreachable(config, f"{type(error).__name__}: {error}")


def _unreachable(config: TrainConfig, reason: str) -> Finding:
    revision = f" --revision {config.base_revision}" if config.base_revision else ""
    return _error(
        "HUB-ACCESS",
        f"The base model {config.base_model} is not on this machine, and the Hub cannot be reached ({reason}).",
        f"Fetch it where the Hub can be reached: hf download {config.base_model}{revision}. Or name a folder as base_model",
    )
