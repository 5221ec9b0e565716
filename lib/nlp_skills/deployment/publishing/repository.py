"""One model repository of the Hugging Face Hub: who may write it, what is in it, and one commit to it.

    access ──▶ state ──▶ each weights file ──▶ one commit of everything
                 ▲            │ the connection broke
                 └────────────┘ what has arrived is not sent again

A commit is whole or not there. What is said of an error never holds a token or a signed address.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2

from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.secret import hide
from nlp_skills.errors import MissingExtra, NotReady, NotValid, RunFailed
from nlp_skills.records import Progress
from nlp_skills.training.preflight.hub_rights import missing_right

Visibility = Literal["private", "public"]

PAUSES: tuple[float, ...] = (1, 5, 20)
"""Seconds between the attempts, after those that huggingface_hub makes for each request."""

_LOGIN = "Make a token with the role write at https://huggingface.co/settings/tokens, and log in with it: hf auth login"
_STAYS = "What has arrived there stays: the same command goes on."
_AGAIN = "Check the network and HF_ENDPOINT, and try again."
_QUERY = re.compile(r"(https?://[^\s?]+)\?\S+")


class Access(NamedTuple):
    """Who the token is."""

    user: str | None
    lacks: str | None
    """Why this user cannot write there, with the cure; None: nothing stands against it."""


class State(NamedTuple):
    """The repository as it is."""

    visibility: Visibility | None
    """None: there is none of that name that this token may see."""
    head: str | None = None
    files: tuple[str, ...] = ()


class Committed(NamedTuple):
    """What came of it."""

    commit: str
    url: str
    visibility: Visibility


class HubRepository:
    """A model repository by name. Raises MissingExtra, and NotValid for what is no OWNER/NAME."""

    def __init__(self, repo_id: str) -> None:
        try:
            from huggingface_hub import HfApi, constants, get_token
            from huggingface_hub.errors import HFValidationError
            from huggingface_hub.utils import validate_repo_id
        except ImportError:
            raise MissingExtra("Publishing on the Hugging Face Hub", "hub") from None
        try:
            validate_repo_id(repo_id)
        except HFValidationError as error:
            raise NotValid(f"repo_id: {error}") from None
        if "/" not in repo_id:
            raise NotValid(
                f"repo_id: {repo_id!r} names no owner. Write OWNER/NAME, for example me/{repo_id}."
            )
        self.repo_id, self.token = repo_id, get_token()
        self.endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self.offline = constants.HF_HUB_OFFLINE
        self.api = HfApi(endpoint=self.endpoint, token=self.token, library_name="nlp-skills")

    def access(self) -> Access:
        """Asks the Hub who the token is and whether it may write there; never raises for what it finds."""
        if self.offline:
            return Access(None, "HF_HUB_OFFLINE is set, so the Hub cannot be asked. Unset it.")
        if not self.token:
            return Access(None, f"There is no token for the Hub. {_LOGIN}")
        try:
            with self._telling("who the token is"):
                who = self.api.whoami()
        except (NotReady, RunFailed) as error:
            return Access(None, str(error))
        owner = self.repo_id.partition("/")[0]
        lacking = missing_right(who, owner, ("repo.write",), self.repo_id)
        told = f"{self.repo_id} cannot be written: {lacking}. {_LOGIN}" if lacking else None
        return Access(str(who.get("name")), told)

    def state(self) -> State:
        """What is there now. Raises NotReady or RunFailed."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._telling(f"what is in {self.repo_id}"):
            try:
                info = self.api.model_info(self.repo_id)
            except RepositoryNotFoundError:
                return State(None)
        names = tuple(sorted(file.rfilename for file in info.siblings or ()))
        return State("private" if info.private else "public", info.sha, names)

    def card_of(self, kind: Literal["model", "dataset"], name: str, revision: str | None) -> Any:
        """The metadata of a model's or dataset's card; None where the Hub does not tell it to this token."""
        try:
            with self._telling(f"for the card of {name}"):
                return self.api.repo_info(name, repo_type=kind, revision=revision).card_data  # type: ignore[union-attr]
        except (NotReady, NotValid, RunFailed):
            return None

    def commit(
        self,
        files: Mapping[str, Path | bytes],
        drop: Callable[[State], list[str]],
        message: str,
        *,
        public: bool,
        progress: Progress,
    ) -> Committed:
        """Put the files there in one commit, and take away what `drop` names of the present ones.

        Makes the repository where there is none. After a broken connection it goes on with what has not arrived yet.
        Raises NotValid for a public repository where `public` is not asked for, NotReady where the Hub refuses,
        RunFailed where it stays out of reach.
        """
        for pause in PAUSES:
            try:
                return self._attempt(files, drop, message, public=public, progress=progress)
            except RunFailed as error:
                progress(f"{error} Going on in {pause:g} seconds", 0, None)
                time.sleep(pause)
        return self._attempt(files, drop, message, public=public, progress=progress)

    def _attempt(
        self,
        files: Mapping[str, Path | bytes],
        drop: Callable[[State], list[str]],
        message: str,
        *,
        public: bool,
        progress: Progress,
    ) -> Committed:
        """Asks for everything anew: a commit whose answer was lost is found, and not made twice."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if self.state().visibility is None:
            with self._telling(f"to make {self.repo_id}"):
                self.api.create_repo(self.repo_id, private=not public, exist_ok=True)
        state = self.state()
        require_private(self.repo_id, state, public=public)
        with self._telling(f"to take the files of {self.repo_id}", _STAYS):
            additions = [
                CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
                for name, content in files.items()
            ]
            self._send_weights(additions, progress)
            operations = [*additions, *(CommitOperationDelete(name) for name in drop(state))]
            progress("committing", 0, None)
            made = self.api.create_commit(
                self.repo_id, operations, commit_message=message, parent_commit=state.head
            )
        return Committed(made.oid, made.commit_url, state.visibility or "private")

    def _send_weights(self, additions: list[Any], progress: Progress) -> None:
        """The large files one by one, so that what has arrived has arrived."""
        large = [
            addition for addition in additions if addition.path_in_repo.endswith((".safetensors", ".gguf"))
        ]
        total = sum(addition.upload_info.size for addition in large)
        done = 0
        for addition in large:
            progress(f"uploading {addition.path_in_repo}", done, total)
            self.api.preupload_lfs_files(self.repo_id, [addition], free_memory=False)
            done += addition.upload_info.size

    @contextmanager
    def _telling(self, what: str, cure: str = _AGAIN) -> Iterator[None]:
        """Turns what huggingface_hub raises into a sentence without secrets; RunFailed for what may pass by itself."""
        from huggingface_hub import errors

        try:
            with _without_bars():
                yield
        except errors.OfflineModeIsEnabled:
            raise NotReady("HF_HUB_OFFLINE is set, so the Hub cannot be asked. Unset it.") from None
        except errors.HfHubHTTPError as error:
            told, status = self._told(what, error), error.response.status_code
            if status in (401, 403):
                raise NotReady(f"{told} {_LOGIN}") from None
            if status < 500 and status not in _PASSING:
                raise NotValid(told) from None
            raise RunFailed(f"{told} {cure}") from None
        except (httpx2.HTTPError, ConnectionError, TimeoutError, RuntimeError) as error:
            raise RunFailed(f"{self._told(what, error)} {cure}") from None
        except ValueError as error:
            raise NotValid(self._told(what, error)) from None

    def _told(self, what: str, error: BaseException) -> str:
        return f"{self.endpoint} was asked {what}: {self._said(error)}."

    def _said(self, error: BaseException) -> str:
        text = " ".join((str(error) or type(error).__name__).split())
        if (
            isinstance(error, RuntimeError) and error.__cause__
        ):  # huggingface_hub says what it did, not what happened
            text = f"{text.rstrip('.')}: {' '.join(str(error.__cause__).split()) or type(error.__cause__).__name__}"
        if self.token:
            text = text.replace(self.token, "${HF_TOKEN}")
        text = _QUERY.sub(r"\1?…", text)
        for span in reversed(find_secrets(text)):
            text = f"{text[: span.start]}***{text[span.end :]}"
        return hide(text)[:400].rstrip(" .")


_PASSING = (408, 409, 412, 429)
"""Somebody else has just committed, or it was too much at a time."""


def require_private(repo_id: str, state: State, *, public: bool) -> None:
    """Raises NotValid for a repository that everyone sees where that was not asked for."""
    if state.visibility == "public" and not public:
        raise NotValid(
            f"{repo_id} is there already and is public. Add --public if everyone may see the model, or take another name."
        )


@contextmanager
def _without_bars() -> Iterator[None]:
    """What is done is told through `progress`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
