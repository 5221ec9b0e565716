"""The hub source, against a server that speaks the Hub's HTTP API."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_server import Dataset, Files, HubServer
from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import HubSource
from nlp_skills.errors import NlpSkillsError, NotFound, NotReady, NotValid, RunFailed
from postgresql import free_port

CARD = b"""---
license: cc-by-4.0
configs:
- config_name: intents
  default: true
  data_files:
  - split: train
    path: csv/banking77_train*.csv
  - split: test
    path: [parquet/test-*.parquet]
- config_name: numbered
  data_files:
  - split: test
    path: numbered/test.csv
dataset_info:
- config_name: numbered
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': card_arrival, '1': lost_card}}}
---
# Banking77
"""


@pytest.fixture
def banking(shared_data: Path) -> Files:
    folder = shared_data / "classification"
    test = (shared_data / "awkward" / "containers" / "banking77_test.parquet").read_bytes()
    return {
        "README.md": CARD,
        "csv/banking77_train.csv": (folder / "banking77_train.csv").read_bytes(),
        "parquet/test-00000.parquet": test,
        "parquet/test-00001.parquet": test,
        "numbered/test.csv": b"text,label\nWhere is my card?,0\nIt is gone,1\nHello,-1\n",
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub that is asked, with a cache of its own."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub here is on this machine
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with HubServer({}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def source(**settings: Any) -> HubSource:
    return HubSource.parse({"name": "banking", "dataset": "polyai/banking77", **settings}, "the test")


def rows_of(task: Path, **settings: Any) -> list[dict[str, Any]]:
    return [row for _, row in SOURCES["hub"](source(**settings), Fetch(task))]


def refusal(task: Path, **settings: Any) -> tuple[type[Exception], str]:
    with pytest.raises(NlpSkillsError) as refused:
        rows_of(task, **settings)
    return type(refused.value), str(refused.value)


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def test_a_split_is_read_as_the_card_describes_it_and_the_commit_is_noted(
    hub, banking, tmp_path, shared_data
):
    hub.datasets["polyai/banking77"] = Dataset()
    commit = hub.datasets["polyai/banking77"].commit(banking)
    fetch = Fetch(tmp_path)
    rows = list(SOURCES["hub"](source(), fetch))
    assert rows == list(read_file(shared_data / "classification" / "banking77_train.csv"))
    assert len(rows) == 10_003
    assert fetch.notes == {
        "dataset": "polyai/banking77",
        "subset": None,
        "split": "train",
        "asked_revision": None,
        "revision": commit,
        "files": 1,
    }


def test_rows_of_several_files_say_which_they_are_from(hub, banking, tmp_path):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(banking)
    rows = rows_of(tmp_path, split="test")
    assert len(rows) == 2 * 3_080
    assert [rows[place]["_origin"] for place in (0, 3_079, 3_080)] == [
        {"file": "parquet/test-00000.parquet", "line": 1},
        {"file": "parquet/test-00000.parquet", "line": 3_080},
        {"file": "parquet/test-00001.parquet", "line": 1},
    ]


def test_a_pinned_revision_gives_the_same_rows_after_the_branch_has_moved(hub, banking, tmp_path):
    dataset = hub.datasets["polyai/banking77"] = Dataset()
    first = dataset.commit(banking)
    before = rows_of(tmp_path)
    second = dataset.commit({**banking, "csv/banking77_train.csv": b"text,category\nNew,lost_card\n"})
    assert rows_of(tmp_path, revision=first) == before
    assert rows_of(tmp_path) == [{"text": "New", "category": "lost_card"}]
    fetch = Fetch(tmp_path)
    next(SOURCES["hub"](source(revision="main"), fetch))
    assert (fetch.notes["asked_revision"], fetch.notes["revision"]) == ("main", second)


def test_what_is_on_this_machine_is_not_downloaded_again(hub, banking, tmp_path):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(banking)
    rows_of(tmp_path)
    hub.asked.clear()
    rows_of(tmp_path)
    assert [path for method, path in hub.asked if "resolve" in path or "elsewhere" in path] == []


def test_a_file_is_downloaded_when_its_first_row_is_wanted(hub, banking, tmp_path):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(
        {**banking, "parquet/test-00001.parquet": banking["parquet/test-00001.parquet"] + b"!"}
    )
    rows = SOURCES["hub"](source(split="test"), Fetch(tmp_path))
    assert next(rows)[1]["_origin"]["line"] == 1
    assert [path for _, path in hub.asked if path.endswith("test-00001.parquet")] == []


def test_labels_are_given_by_name(hub, banking, tmp_path):
    table = pa.table({"text": ["a", "b"], "label": pa.array([1, -1])})
    described = b'{"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}'
    table = table.replace_schema_metadata({b"huggingface": described})
    dataset = hub.datasets["polyai/banking77"] = Dataset()
    dataset.commit(banking)
    assert rows_of(tmp_path, subset="numbered", split="test") == [
        {"text": "Where is my card?", "label": "card_arrival"},
        {"text": "It is gone", "label": "lost_card"},
        {"text": "Hello", "label": None},
    ]
    dataset.commit({"data/train-00000-of-00001.parquet": parquet(table)})
    assert rows_of(tmp_path) == [{"text": "a", "label": "yes"}, {"text": "b", "label": None}]
    bad = table.set_column(1, "label", pa.array([0, 7]))
    dataset.commit({"data/train-00000-of-00001.parquet": parquet(bad)})
    assert refusal(tmp_path) == (
        NotValid,
        "Source banking: data/train-00000-of-00001.parquet: label 7 in column 'label' has no name: the dataset names"
        " 2 of them. Pin another revision, or tell the dataset's owner.",
    )


def test_the_labels_are_those_of_the_subset_that_is_read(hub, tmp_path):
    described = "{{config_name: {0}, features: [{{name: label, dtype: {{class_label: {{names: [{1}]}}}}}}]}}"
    infos = ", ".join(described.format(*names) for names in (("en", "bad, good"), ("zh", "差評, 好評")))
    card = (
        "---\nconfigs:\n- {config_name: en, data_files: en.csv}\n"
        f"- {{config_name: zh, data_files: zh.csv, default: true}}\ndataset_info: [{infos}]\n---\n"
    )
    dataset = hub.datasets["polyai/banking77"] = Dataset()
    dataset.commit(
        {"README.md": card.encode(), "en.csv": b"text,label\nhi,1\n", "zh.csv": b"text,label\nhi,0\n"}
    )
    assert rows_of(tmp_path) == [{"text": "hi", "label": "差評"}]
    assert rows_of(tmp_path, subset="en") == [{"text": "hi", "label": "good"}]


LAYOUTS = {
    "shards": (
        ["data/train-00000-of-00001.jsonl", "data/human-00000-of-00001.jsonl", "other.jsonl"],
        "human",
        1,
    ),
    "folders": (["train/a.jsonl", "validation/b.jsonl", "validation/c.jsonl"], "validation", 2),
    "names": (["my_train.jsonl", "my-dev.jsonl", "protest.jsonl"], "validation", 1),
    "no names": (["first.jsonl", "second.jsonl", "config.json", ".hidden.jsonl"], "train", 2),
}


@pytest.mark.parametrize(("files", "split", "count"), LAYOUTS.values(), ids=LAYOUTS)
def test_without_a_card_names_tell_the_splits(hub, tmp_path, files, split, count):
    dataset = hub.datasets["polyai/banking77"] = Dataset()
    dataset.commit({name: f'{{"text": "{name}"}}\n'.encode() for name in files})
    assert len(rows_of(tmp_path, split=split)) == count


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"split": "tests"},
            "has no split 'tests' (did you mean \"test\"?). Set split: to one of: train, test.",
        ),
        (
            {"subset": "intent"},
            "has no subset 'intent' (did you mean \"intents\"?). Set subset: to one of: intents, numbered.",
        ),
        ({"subset": "numbered"}, "has no split 'train'. Set split: to one of: test."),
    ],
)
def test_a_split_or_subset_that_is_not_there_lists_those_that_are(hub, banking, tmp_path, settings, sentence):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(banking)
    assert refusal(tmp_path, **settings) == (NotFound, f"Source banking: the dataset {sentence}")


def test_several_subsets_without_a_default_have_to_be_chosen_from(hub, tmp_path):
    card = b"---\nconfigs:\n- {config_name: en, data_files: en.csv}\n- {config_name: zh, data_files: zh.csv}\n---\n"
    dataset = hub.datasets["polyai/banking77"] = Dataset()
    dataset.commit({"README.md": card, "en.csv": b"text\nhi\n", "zh.csv": "text\n你好\n".encode()})
    assert refusal(tmp_path) == (
        NotFound,
        "Source banking: the dataset has several subsets. Set subset: to one of: en, zh.",
    )
    assert rows_of(tmp_path, subset="zh") == [{"text": "你好"}]


@pytest.mark.parametrize(
    ("files", "kind", "sentence"),
    [
        (
            {"images/train/1.png": b"\x89PNG", "README.md": b"# Pictures"},
            NotFound,
            "the dataset has no file with rows that is read (.parquet, .jsonl, .ndjson, .json, .csv, .tsv, .txt), only"
            " .png. Choose another dataset, or download it and export its rows.",
        ),
        (
            {
                "README.md": b"---\nconfigs: [{config_name: a, data_files: a.csv, names: [x]}]\n---\n",
                "a.csv": b"1\n",
            },
            NotValid,
            "the card of subset 'a' sets names, which is not followed here. Download the file and use a source of"
            " type: file, or choose another subset.",
        ),
        (
            {"README.md": b"---\nconfigs: [{data_files: a.csv}]\n---\n", "a.csv": b"1\n"},
            NotValid,
            "configs in the dataset's README.md are not as the Hub describes them.",
        ),
        (
            {"README.md": b"---\nconfigs: [\n---\n", "a.csv": b"1\n"},
            NotValid,
            "the YAML block in the dataset's README.md cannot be read.",
        ),
    ],
)
def test_a_dataset_that_cannot_be_read_is_told_in_a_sentence(hub, tmp_path, files, kind, sentence):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(files)
    assert refusal(tmp_path) == (kind, f"Source banking: {sentence}")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\x89PNG\xff"]),
        pa.array([{"bytes": b"\x89PNG\xff", "path": None}]),
        pa.array([[b"\xff"]], pa.list_(pa.large_binary())),
    ],
    ids=["bytes", "an image", "a list"],
)
def test_a_column_of_bytes_is_refused_by_name(hub, tmp_path, column):
    table = pa.table({"text": ["a"], "photo": column})
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit({"train.parquet": parquet(table)})
    assert refusal(tmp_path) == (
        NotValid,
        "Source banking: column 'photo' holds bytes (a picture, audio, a file), which are no text. Choose a subset"
        " without it, or download the files and export the columns that are needed.",
    )


def test_what_is_not_there_is_told_apart(hub, banking, tmp_path):
    hub.datasets["polyai/banking77"] = Dataset()
    hub.datasets["polyai/banking77"].commit(banking)
    assert refusal(tmp_path, dataset="polyai/banking78") == (
        NotFound,
        f"Source banking: {hub.url} has no dataset 'polyai/banking78' that is public. Check dataset: (owner/name);"
        " for a private one set token: ${HF_TOKEN}.",
    )
    assert refusal(tmp_path, revision="v9") == (
        NotFound,
        "Source banking: polyai/banking77 has no revision 'v9'. Name a commit, a tag or a branch, or remove revision:"
        " for the newest.",
    )
    kind, text = refusal(tmp_path, dataset="a/b/c")
    assert (kind, text[:60]) == (
        NotValid,
        "Source banking: dataset 'a/b/c' is no name of the Hub (Repo id"[:60],
    )


def test_a_private_and_a_gated_dataset_are_read_with_the_token_which_is_never_shown(
    hub, banking, tmp_path, monkeypatch
):
    monkeypatch.setenv("BANKING_TOKEN", "hf_s3cret-token")
    dataset = hub.datasets["polyai/banking77"] = Dataset(token="hf_s3cret-token")
    dataset.commit(banking)
    assert refusal(tmp_path)[0] is NotFound
    fetch = Fetch(tmp_path)
    assert len(list(SOURCES["hub"](source(token="${BANKING_TOKEN}"), fetch))) == 10_003
    assert "hf_s3cret-token" not in str(fetch.notes)
    assert {*hub.tokens} == {"", "Bearer hf_s3cret-token"}
    dataset.gated, dataset.token = True, None
    assert refusal(tmp_path) == (
        NotReady,
        f"Source banking: polyai/banking77 is gated, and no token is set. Ask for access at"
        f" {hub.url}/datasets/polyai/banking77, and set token: ${{HF_TOKEN}} for this source.",
    )


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(hub, banking, tmp_path, monkeypatch):
    monkeypatch.setenv("BANKING_TOKEN", "hf_s3cret-token")
    hub.datasets["polyai/banking77"] = Dataset(token="hf_s3cret-token")
    hub.datasets["polyai/banking77"].commit(banking)
    rows_of(tmp_path, token="${BANKING_TOKEN}")
    sent = zip(hub.asked, hub.tokens, strict=True)
    assert {token for (_, path), token in sent if path.startswith("/elsewhere/")} == {""}


def test_no_network_is_told_with_what_to_check(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    kind, text = refusal(tmp_path)
    assert kind is RunFailed
    assert text.endswith("Check the network and HF_ENDPOINT; behind a mirror set HF_ENDPOINT to it.")


def test_offline_is_told_by_the_variable_that_sets_it(hub, tmp_path):
    """In a process of its own: huggingface_hub reads it when it is imported."""
    code = (
        "from pathlib import Path; from nlp_skills.data.sources.hub import read;"
        "from nlp_skills.data.sources.fetch import Fetch; from nlp_skills.data.sources.source import HubSource;"
        "list(read(HubSource(name='a', dataset='polyai/banking77'), Fetch(Path())))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.stderr.splitlines()[-1] == (
        "nlp_skills.errors.NotReady: Source a: HF_HUB_OFFLINE is set, so polyai/banking77 cannot be looked up. Unset"
        " it, or download the files where there is a network and use a source of type: file."
    )
