"""What the tests of data share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from generating import make_task, set_keys

from model_servers import ModelServer, serving
from postgresql import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A model server on loopback, and keys for the providers that are none."""
    set_keys(monkeypatch)
    with serving(ModelServer()) as running:
        yield running


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task that generates notes, without data."""
    return make_task(tmp_path / "notes")
