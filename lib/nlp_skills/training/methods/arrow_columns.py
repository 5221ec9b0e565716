"""Rows as a data set of `datasets`, over the very memory that they lie in (compact_rows.py)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.training.compact_rows import Column

LARGEST = 2**31 - 1
"""Numbers in a column that Arrow counts in 32 bits."""


def columns_dataset(columns: Mapping[str, Column | Sequence[Any]]) -> Any:
    """A data set of these columns; lists of ids are not copied."""
    import pyarrow
    from datasets import Dataset
    from datasets.table import InMemoryTable

    made = [_lists(c) if isinstance(c, Column) else pyarrow.array(c) for c in columns.values()]
    table = pyarrow.Table.from_arrays(made, names=list(columns))
    # Otherwise `datasets` would hash all of it for a name, which nothing here asks for.
    return Dataset(InMemoryTable(table), fingerprint=uuid.uuid4().hex[:16])


def _lists(column: Column) -> Any:
    import pyarrow

    values = _numbers(column.values, pyarrow.int8() if column.values.typecode == "b" else pyarrow.int32())
    starts = _numbers(column.starts, pyarrow.int64())
    if len(column.values) > LARGEST:
        return pyarrow.LargeListArray.from_arrays(starts, values)
    return pyarrow.ListArray.from_arrays(starts.cast(pyarrow.int32()), values)


def _numbers(numbers: Any, kind: Any) -> Any:
    import pyarrow

    if not len(numbers):
        return pyarrow.array([], kind)
    return pyarrow.Array.from_buffers(kind, len(numbers), [None, pyarrow.py_buffer(numbers)])


def list_lengths(dataset: Any, name: str) -> Sequence[int]:
    """How long the lists of a column are, without making them."""
    from pyarrow import compute

    return compute.call_function("list_value_length", [dataset.data.column(name)]).to_numpy()
