"""Publish a version on the Hugging Face Hub: private unless told otherwise, shown first, in one commit.

trained ─┐
merged ──┼─▶ safe files, records ─┐
q8_0 … ──┘                        ├─▶ what would go there ──confirm──▶ one commit ──▶ registry.json
lineage, results, licences ─▶ README.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nlp_skills.deployment.artefact import TRAINED
from nlp_skills.deployment.publishing.files import size_of, superseded
from nlp_skills.deployment.publishing.parcel import CARD, Parcel, pack
from nlp_skills.deployment.publishing.repository import (
    Access,
    HubRepository,
    State,
    Visibility,
    require_private,
)
from nlp_skills.deployment.registry import record_deployment
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed
from nlp_skills.records import Progress, Record, now, silent
from nlp_skills.task.registry import Deployment, is_alias, read_registry


class HubFile(Record):
    """One file as it stands in the repository."""

    name: str
    bytes: int


class HubUpload(Record):
    """What was published, or what would be."""

    task: str
    version: str | None
    """None where no version is trained yet."""
    what: str
    """adapter, merged, or the quantization of a GGUF file."""
    repo_id: str
    visibility: Visibility
    user: str | None = None
    """Whose token it is."""
    repository: Literal["new", "private", "public", "unknown"]
    """What is there of that name."""
    license: str | None = None
    files: list[HubFile] = []
    removed: list[str] = []
    """Weights of an earlier upload that would be loaded beside these; the repository's history keeps them."""
    notes: list[str] = []
    """What to know before others see it."""
    blocked: list[str] = []
    """What stands against it, each with its cure."""
    uploaded: bool = False
    commit: str | None = None
    url: str | None = None
    next: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was uploaded, or could be."""
        return not self.blocked


def upload_model(
    task: Path,
    *,
    repo_id: str,
    version: str | None = None,
    what: str = TRAINED,
    public: bool = False,
    confirm: bool = False,
    progress: Progress = silent,
) -> HubUpload:
    """Publish a version on the Hugging Face Hub with a model card made from its lineage and results.

    Without `confirm` nothing is sent: it shows the files, asks the Hub whether the token may write there, and says what
    stands against it; also before anything is trained. With it the repository is made where there is none, private unless
    `public` is given, and everything arrives in one commit or not at all; after a broken connection the same command goes
    on. Only safetensors and GGUF files are published. What was published where is kept in registry.json. The token is
    HF_TOKEN or that of `hf auth login`.

    Raises NotReady for a version that is not trained, for an artefact that is not made (merged, q8_0 …) and for a token
    that may not write there; NotValid for a public repository where `public` is not given, and for files that are not safe
    to load; RunFailed where the Hub stays out of reach; MissingExtra.
    """
    if not confirm:
        repository = HubRepository(repo_id)
        return _shown(task, repository, repository.access(), version, what, public)
    done, parcel = publish(task, repo_id, version, what, public=public, progress=progress)
    _record(task, parcel, version, done)
    return done


def publish(
    task: Path,
    repo_id: str,
    version: str | None,
    what: str,
    *,
    public: bool = False,
    progress: Progress = silent,
) -> tuple[HubUpload, Parcel]:
    """Upload it and keep no record of it: for who keeps one of their own. Raises as upload_model does."""
    repository = HubRepository(repo_id)
    access = repository.access()
    parcel = pack(task, version, what, repository, is_known=access.user is not None, public=public)
    if access.lacks:
        raise NotReady(access.lacks)
    made = repository.commit(
        parcel.files,
        lambda state: superseded(parcel.files, state),
        f"{task.name} {parcel.version}: {parcel.what}",
        public=public,
        progress=progress,
    )
    there = State(made.visibility)
    shown = _describe(task, repo_id, access, there, parcel, public=made.visibility == "public")
    changes = {"uploaded": True, "commit": made.commit, "url": made.url, "next": _next(parcel, repo_id)}
    return shown.model_copy(update=changes), parcel


def require_writable(repo_id: str) -> None:
    """Before anything long begins: whether the token may write there, and nobody else would see it.

    Raises NotReady, NotValid, RunFailed where the Hub is out of reach, MissingExtra.
    """
    repository = HubRepository(repo_id)
    if lacks := repository.access().lacks:
        raise NotReady(lacks)
    require_private(repo_id, repository.state(), public=False)


def _shown(
    task: Path,
    repository: HubRepository,
    access: Access,
    version: str | None,
    what: str,
    public: bool,
) -> HubUpload:
    """What would happen, with everything that stands against it and not only the first."""
    blocked = [access.lacks] if access.lacks else []
    state, known = State(None), False
    if access.user:
        try:
            state, known = repository.state(), True
            require_private(repository.repo_id, state, public=public)
        except (NotReady, NotValid, RunFailed) as error:
            blocked.append(str(error))
    try:
        parcel = pack(task, version, what, repository, is_known=access.user is not None, public=public)
    except NlpSkillsError as error:
        parcel = None
        blocked.append(str(error))
    shown = _describe(task, repository.repo_id, access, state if known else None, parcel, public=public)
    wanted = f" --version {version}" if version else ""
    wanted += f" --what {what}" if what != TRAINED else ""
    command = f"nlp-skills upload-model {task.name} --repo-id {repository.repo_id}{wanted}"
    command += " --public" if public else ""
    said = "Nothing was uploaded." if blocked else f"Nothing was uploaded. To upload it: {command} --confirm"
    return shown.model_copy(
        update={"blocked": blocked, "next": said, "what": parcel.what if parcel else what}
    )


def _describe(
    task: Path,
    repo_id: str,
    access: Access,
    state: State | None,
    parcel: Parcel | None,
    *,
    public: bool,
) -> HubUpload:
    there = "unknown" if state is None else state.visibility or "new"
    notes = list(parcel.notes) if parcel else []
    if public and there == "private":
        notes.append(
            f"{repo_id} is there already and is private; it stays so. Its settings on the Hub change that."
        )
    if state and CARD in state.files:
        notes.append(
            "Its README.md is replaced by the card that is made here; the repository's history keeps it."
        )
    return HubUpload(
        task=task.name,
        version=parcel.version if parcel else None,
        what=parcel.what if parcel else TRAINED,
        repo_id=repo_id,
        visibility="public" if public and there != "private" else "private",
        user=access.user,
        repository=there,
        license=parcel.license if parcel else None,
        files=[HubFile(name=name, bytes=size_of(content)) for name, content in parcel.files.items()]
        if parcel
        else [],
        removed=superseded(parcel.files, state) if parcel and state else [],
        notes=notes,
    )


def _record(task: Path, parcel: Parcel, version: str | None, done: HubUpload) -> None:
    """Keep in registry.json what was published; the same commit once."""
    known = read_registry(task).deployments
    if any((one.target, one.name, one.commit) == ("hub", done.repo_id, done.commit) for one in known):
        return
    record_deployment(
        task,
        Deployment(
            version=parcel.version,
            artefact=parcel.what,
            target="hub",
            name=done.repo_id,
            created=now(),
            by=done.user or "somebody",
            sha256=parcel.info.sha256,
            commit=done.commit,
            alias=version if is_alias(version) else None,
        ),
    )


def _next(parcel: Parcel, repo_id: str) -> str:
    if parcel.info.format == "gguf":
        return f"Run it with: ollama run hf.co/{repo_id}:{parcel.what.upper()}"
    return f"Its card is at {repo_id} on the Hub; how it is loaded stands there."
