"""The `hub` source: a dataset of the Hugging Face Hub at one commit.

    revision ──▶ commit ──▶ files of the split ──download──▶ the Hub's cache ──read_file──▶ rows, labels by name

The files are read by the readers of the `file` source, one row at a time: `datasets` in streaming mode holds
whole row groups of Parquet in memory. Code of a dataset is never run. The snapshot records the commit, so that
`revision:` can pin what was read.
"""

from __future__ import annotations

from collections.abc import Iterator

from nlp_skills.data.sources.fetch import ORIGIN, Fetch, Row
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.hub_files.features import labels_in_card, labels_in_parquet, with_label_names
from nlp_skills.data.sources.hub_files.layout import choose, default_subset, find_subsets, read_card
from nlp_skills.data.sources.hub_files.repository import Repository
from nlp_skills.data.sources.source import HubSource


def read(source: HubSource, fetch: Fetch) -> Iterator[Row]:
    """The rows of a dataset's split, numbered as in its files; of several files, each row says which it is from.

    A file is downloaded when its first row is wanted. Raises NotFound (dataset, revision, subset or split; lists
    those that are there), NotReady (gated, offline, a ${NAME} that is not set), NotValid (a column of bytes, a
    file that cannot be read), RunFailed (no network), MissingExtra.
    """
    repository = Repository(source)
    where = repository.where
    fetch.notes.update(
        dataset=source.dataset,
        subset=source.subset,
        split=source.split,
        asked_revision=source.revision,
        revision=repository.commit,
    )
    files = repository.files()
    card = read_card(repository.download("README.md") if "README.md" in files else None, where)
    subsets = find_subsets(card, files, where)
    subset = source.subset or default_subset(subsets, card)
    paths = choose(subsets, subset, source.split, where)
    fetch.notes["files"] = len(paths)
    labels = labels_in_card(card, subset)
    for done, path in enumerate(paths):
        fetch.progress(f"{source.name}: downloading {path}", done, len(paths))
        file = repository.download(path)
        if path.endswith(".parquet"):
            labels = {**labels, **labels_in_parquet(file, where)}
        for number, row in read_file(file):
            named = with_label_names(row, labels, f"{where}: {path}")
            yield number, {**named, ORIGIN: {"file": path, "line": number}} if len(paths) > 1 else named
