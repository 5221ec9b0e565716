"""One dataset repository of the Hugging Face Hub, through huggingface_hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_skills.data.secret import expand, hide
from nlp_skills.data.sources.source import HubSource
from nlp_skills.errors import MissingExtra, NotFound, NotReady, NotValid, RunFailed

_ENDPOINT = "https://huggingface.co"


class Repository:
    """A dataset at one commit. Every method raises NotFound, NotReady, NotValid or RunFailed, with the cure."""

    def __init__(self, source: HubSource) -> None:
        try:
            from huggingface_hub import HfApi
        except ImportError:
            raise MissingExtra("Reading a dataset of the Hugging Face Hub", "hub") from None
        self.source, self.where = source, f"Source {source.name}"
        self.endpoint = (os.environ.get("HF_ENDPOINT") or _ENDPOINT).rstrip("/")
        self.token = expand(source.token) if source.token else None
        self.api = HfApi(endpoint=self.endpoint, token=self.token, library_name="nlp-skills")
        with self._telling():
            info = self.api.dataset_info(source.dataset, revision=source.revision)
        self.commit = info.sha or ""
        """What the revision, or the newest one, is at this moment."""

    def files(self) -> list[str]:
        """The paths of all files, sorted."""
        from huggingface_hub.hf_api import RepoFile

        with self._telling():
            tree = self.api.list_repo_tree(
                self.source.dataset, recursive=True, revision=self.commit, repo_type="dataset"
            )
            return sorted(entry.path for entry in tree if isinstance(entry, RepoFile))

    def download(self, path: str) -> Path:
        """The file in the Hub's cache on this machine; what is there already is not fetched again."""
        with self._telling():
            return Path(
                self.api.hf_hub_download(
                    self.source.dataset,
                    path,
                    repo_type="dataset",
                    revision=self.commit,
                    tqdm_class=_without_bar(),
                )
            )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        import httpx2
        from huggingface_hub import errors

        try:
            yield
        except errors.OfflineModeIsEnabled:
            raise NotReady(
                f"{self.where}: HF_HUB_OFFLINE is set, so {self.source.dataset} cannot be looked up. Unset it, or"
                " download the files where there is a network and use a source of type: file."
            ) from None
        except errors.HFValidationError as error:
            raise NotValid(
                f"{self.where}: dataset {self.source.dataset!r} is no name of the Hub ({error}). Write owner/name."
            ) from None
        except errors.GatedRepoError:
            raise NotReady(self._gated()) from None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise NotFound(self._missing(error)) from None
        except errors.HfHubHTTPError as error:
            raise RunFailed(
                f"{self.where}: {self.endpoint} answers: {_said(error)}. Try again later."
            ) from None
        except (errors.LocalEntryNotFoundError, httpx2.HTTPError) as error:
            raise RunFailed(
                f"{self.where}: {self.endpoint} cannot be reached or does not answer as the Hub does:"
                f" {_said(error)}. Check the network and HF_ENDPOINT; behind a mirror set HF_ENDPOINT to it."
            ) from None

    def _gated(self) -> str:
        token = "with the token that is set" if self.token else "and no token is set"
        return (
            f"{self.where}: {self.source.dataset} is gated, {token}. Ask for access at"
            f" {self.endpoint}/datasets/{self.source.dataset}, and set token: ${{HF_TOKEN}} for this source."
        )

    def _missing(self, error: Exception) -> str:
        from huggingface_hub.errors import RevisionNotFoundError

        if isinstance(error, RevisionNotFoundError):
            return (
                f"{self.where}: {self.source.dataset} has no revision {self.source.revision!r}. Name a commit, a tag"
                " or a branch, or remove revision: for the newest."
            )
        return (
            f"{self.where}: {self.endpoint} has no dataset {self.source.dataset!r} that "
            f"{'this token may see' if self.token else 'is public'}. Check dataset: (owner/name); for a private"
            " one set token: ${HF_TOKEN}."
        )


def _without_bar() -> Any:
    """A progress bar that draws nothing: what is done, `fetch.progress` tells."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **{**named, "disable": True})

    return Silent


def _said(error: Exception) -> str:
    return hide(" ".join(str(error).split()))[:300].rstrip(" .")
