"""Files travel whole or not at all, and what is not one of ours never leaves its folder."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.errors import RunFailed
from nlp_skills.training.targets.parcel import differing, files_below, manifest, pack, unpack


def packed(contents: dict[str, bytes | Path]) -> io.BytesIO:
    stream = io.BytesIO()
    pack(contents, stream)
    stream.seek(0)
    return stream


@given(
    st.dictionaries(
        st.integers(0, 9).map(lambda n: f"folder{n}/你好 {n}.bin"), st.binary(max_size=5000), max_size=6
    )
)
def test_what_is_packed_is_what_is_unpacked(contents: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "there"
        folder.mkdir()
        assert unpack(packed({**contents}), folder) == manifest(contents)
        assert {name: path.read_bytes() for name, path in files_below(folder).items()} == contents
        assert differing(folder, manifest(contents)) == []


def test_stream_that_is_cut_anywhere_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_bytes(b"before\n")
    whole = packed({"data/train.jsonl": b"after\n" * 400, "task.yaml": b"name: t\n"}).getvalue()
    last = whole.rindex(b"name: t\n")
    for end in (0, 1, 511, 512, 1500, 2600, last - 1, last + 3):
        with pytest.raises(RunFailed, match="did not come through"):
            unpack(io.BytesIO(whole[:end]), tmp_path)
        assert (tmp_path / "data" / "train.jsonl").read_bytes() == b"before\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_damaged_file_is_named_and_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"before")
    whole = packed({"a.txt": b"after", "b.txt": b"whole"}).getvalue().replace(b"after", b"aftre")
    with pytest.raises(RunFailed, match=r"did not come through whole: a\.txt"):
        unpack(io.BytesIO(whole), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"before"}
    assert differing(tmp_path, {"a.txt": "0" * 64, "none.txt": "1" * 64}) == ["a.txt", "none.txt"]


@pytest.mark.parametrize(
    ("name", "kind"), [("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_parcel_of_somebody_else_does_not_leave_the_folder(tmp_path: Path, name: str, kind: bytes) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        listed = json.dumps({name: "0" * 64}).encode()
        for entry_name, data, entry_kind in (("manifest.json", listed, tarfile.REGTYPE), (name, b"x", kind)):
            entry = tarfile.TarInfo(entry_name)
            entry.type, entry.size, entry.linkname = entry_kind, len(data), "/etc/passwd"
            tar.addfile(entry, io.BytesIO(data))
    stream.seek(0)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(RunFailed, match="which is not one of ours"):
        unpack(stream, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert list(folder.iterdir()) == []
