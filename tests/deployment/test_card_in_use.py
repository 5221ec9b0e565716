"""The program on a published card works as it stands there, for who has nothing but the Hub."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from published_task import make_published_task, resign

from hub_repositories import TOKEN, HubRepositories
from hub_server import Dataset
from nlp_skills.deployment.hub import upload_model
from small_model import save_small_model

for library in ("torch", "transformers", "peft"):
    pytest.importorskip(library, reason=f"{library} is not installed (uv sync --extra train)")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRepositories]:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub here is on this machine
    with HubRepositories() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.large = 1 << 40  # through which protocol is not asked here
        yield server


@pytest.mark.slow
def test_the_program_on_an_adapter_s_card_answers(hub: HubRepositories, tmp_path: Path) -> None:
    base = save_small_model(tmp_path / "base")
    hub.models["ann/small"] = Dataset(token=TOKEN, card={"license": "mit"})
    hub.models["ann/small"].commit({file.name: file.read_bytes() for file in base.iterdir()})
    task = make_published_task(tmp_path / "tasks", "ann/small")
    save_adapter(base, task / "models" / "v1" / "adapter")
    resign(task)
    upload_model(task, repo_id="ann/news", confirm=True)
    repository = hub.models["ann/news"]
    card = repository.commits[repository.branches["main"]]["README.md"].decode()
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", program.replace("max_new_tokens=256", "max_new_tokens=4")],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "theirs"), "HF_HUB_OFFLINE": "0", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith("\n")
    fetched = {path for _, path in hub.asked if "/resolve/" in path}
    assert {
        "/ann/small/resolve/main/model.safetensors",  # the base model is found by its id
        "/ann/news/resolve/main/adapter_model.safetensors",
    } <= {re.sub("resolve/[0-9a-f]{40}/", "resolve/main/", path) for path in fetched}


def save_adapter(base: Path, place: Path) -> None:
    """An adapter that changes nothing yet, as a run saves it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for file in place.iterdir():
        file.unlink()
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules="all-linear")
    )
    model.save_pretrained(place)
    AutoTokenizer.from_pretrained(base).save_pretrained(place)
