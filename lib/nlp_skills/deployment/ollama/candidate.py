"""A version in Ollama under a name that nobody asks, until it has been looked at.

create ──▶ tickets:candidate-1a2b3c4d ──▶ compared, or asked ──copy──▶ tickets:v1
                      └── removed, whatever happens
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from nlp_skills.deployment.go_template.modelfile import Modelfile
from nlp_skills.deployment.ollama.adapter_file import base_gguf, write_adapter
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.models import find_model, told_settings
from nlp_skills.deployment.ollama.names import with_tag
from nlp_skills.deployment.ollama.uploading import upload, weight_files
from nlp_skills.deployment.ollama.version_modelfile import version_modelfile
from nlp_skills.errors import NlpSkillsError, RunFailed
from nlp_skills.records import Progress
from nlp_skills.training.version_model import base_of

if TYPE_CHECKING:
    from ollama import Client, ShowResponse

CANDIDATE = "candidate-"
"""A tag begins so; eight digits that are drawn follow, so that two who deploy at once have one each."""

_TAG = re.compile(rf"{CANDIDATE}[0-9a-f]{{8}}")

CREATED = "success"


class Candidate(NamedTuple):
    """What was made, and is not yet called as it will be."""

    name: str
    manifest: str
    """Ollama's hash of it: what is looked at is what gets the name."""
    made: Modelfile
    renders_with_template: bool
    renderer: str | None
    """Ollama's own, which takes the place of every template."""


@contextmanager
def candidate(
    task: Path,
    version: str,
    path: Path,
    target: str,
    *,
    quantize: str | None = None,
    system: str | None = None,
    progress: Progress,
) -> Iterator[Candidate]:
    """The version's artefact at `path` in Ollama while the block runs, beside whatever is called `target` there.

    Raises NotReady, NotValid for a chat template that a Go template cannot equal, RunFailed.
    """
    made = version_modelfile(task, version, path, system=system)
    name = with_tag(target, f"{CANDIDATE}{secrets.token_hex(4)}")
    try:
        with connected(f"Creating {target}") as client:
            with weights(task, version, path, progress) as (files, adapters):
                sent, added = (upload(client, some, progress) for some in (files, adapters))
            _create(client, name, target, made, sent, added, quantize, progress)
            shown = client.show(name)
            _require_told(shown, made, target)
            manifest = find_model(client, name).manifest
        yield Candidate(name, manifest, made, shown.template == made.template, _renderer(shown))
    finally:
        # It hides neither what went wrong nor what was named.
        with suppress(NlpSkillsError), connected(f"Removing {name}", name) as client:
            client.delete(name)


def name_candidate(found: Candidate, names: Sequence[str]) -> None:
    """Give it its names. Raises RunFailed where Ollama has another model now under the name that was looked at."""
    with connected(f"Naming {names[0]}", found.name) as client:
        if find_model(client, found.name).manifest != found.manifest:
            raise RunFailed(
                f"Somebody has put another model under {found.name} while it was looked at, so {names[0]} was left as it"
                " is. Run the same command again."
            )
        for name in names:
            client.copy(found.name, name)


def is_candidate(name: str, target: str) -> bool:
    """Whether a name in Ollama is that of a candidate for `target`."""
    base, _, tag = name.rpartition(":")
    return base.lower() == target.rpartition(":")[0].lower() and _TAG.fullmatch(tag) is not None


Files = dict[str, Path]


@contextmanager
def weights(task: Path, version: str, path: Path, progress: Progress) -> Iterator[tuple[Files, Files]]:
    """The files of the model and those of its adapter, by the names that Ollama is told.

    An adapter goes beside its base model in 16 bits; its GGUF file lasts as long as the block.
    """
    if not is_adapter(path):
        yield weight_files(path), {}
        return
    base = base_of(task, version)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "adapter.gguf"
        write_adapter(base, path, file, progress)
        yield {"base.gguf": base_gguf(base, progress)}, {file.name: file}


def is_adapter(path: Path) -> bool:
    """Whether what lies there is PEFT's folder of an adapter."""
    return (path / "adapter_config.json").is_file()


def _create(
    client: Client,
    name: str,
    target: str,
    made: Modelfile,
    files: dict[str, str],
    adapters: dict[str, str],
    quantize: str | None,
    progress: Progress,
) -> None:
    last = ""
    steps = client.create(
        name,
        files=files,
        adapters=adapters or None,
        template=made.template,
        system=made.system,
        parameters={**made.parameters, "stop": made.stops} if made.stops else made.parameters,
        quantize=quantize,
        stream=True,
    )
    for step in steps:
        last = step.status or ""
        progress(f"{target}: {last}", step.completed or 0, step.total)
    if last != CREATED:
        raise RunFailed(
            f"Creating {target} ended without Ollama saying that it is done (last word: {last or 'none'!r}). What was"
            " there under that name is unchanged. See Ollama's own log, and run the same command again."
        )


def _require_told(shown: ShowResponse, made: Modelfile, target: str) -> None:
    """A stop token that is not there lets the model write on for ever."""
    told = told_settings(shown.parameters or "").get("stop", [])
    missing = [stop for stop in made.stops if stop not in told]
    if missing:
        raise RunFailed(
            f"Ollama made {target} without the stop tokens {', '.join(missing)}, so it was not given its name. See"
            " Ollama's own log."
        )


def _renderer(shown: ShowResponse) -> str | None:
    """Ollama gives some architectures one when they are created (server/create.go), and says so in the Modelfile."""
    found = re.search(r"^RENDERER (\S+)$", shown.modelfile or "", re.MULTILINE)
    return found[1] if found else None
