"""Earlier data: kept when others take their place, listed, restored whole, and pruned by rule."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.archive import FOLDER
from nlp_skills.data.fix import fix_data
from nlp_skills.data.history import list_snapshots, restore_data
from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import SPLITS, DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import write_atomic
from nlp_skills.task.task import Task, TaskType, create_task


def write(path: Path, start: int) -> None:
    rows = ({"text": f"message number {n}", "label": "ab"[n % 2]} for n in range(start, start + 40))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def edit(task: Path, text: str = "corrected") -> dict[str, bytes]:
    """Correct a word of each split by hand; gives all the files but the snapshot."""
    for split in SPLITS:
        file = task / "data" / f"{split}.jsonl"
        file.write_bytes(file.read_bytes().replace(b"message number", text.encode(), 1))
    return files_of(task / "data")


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in data_of(folder).items() if name != "data_snapshot.json"}


def set_retention(task: Path, **rule: Any) -> None:
    file = task / "data_source.yaml"
    DataSources.load(file).with_changes(retention=rule).save(file)


def data_of(folder: Path) -> dict[str, bytes]:
    names = [*(f"{split}.jsonl" for split in SPLITS), "raw/messages.jsonl", "data_snapshot.json"]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task whose data were read once."""
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.")
    folder = tmp_path / "tasks" / "support"
    write(tmp_path / "messages.jsonl", 0)
    add_source(folder, str(tmp_path / "messages.jsonl"))
    regenerate_data(folder)
    return folder


@pytest.fixture
def renew(task: Path, tmp_path: Path):
    """`renew(7)`: the data made again from other rows; gives their snapshot."""

    def do(start: int) -> DataSnapshot:
        write(tmp_path / "messages.jsonl", start)
        return regenerate_data(task)

    return do


def names(task: Path) -> list[str]:
    return [snapshot.name for snapshot in list_snapshots(task).snapshots]


def test_data_that_are_replaced_are_kept_to_the_byte_and_the_same_data_are_not_kept_twice(task: Path, renew):
    before = data_of(task / "data")
    first = DataSnapshot.load(task / "data" / "data_snapshot.json")
    convert_data(task)
    regenerate_data(task)
    assert names(task) == ["present"]
    second = renew(5)
    (kept,) = (task / FOLDER).iterdir()
    day = first.sources["messages"].fetched[:10]
    assert kept.name == f"{day}-{first.source_hash[:12]}"
    files = data_of(kept)
    assert {**files, "data_snapshot.json": b""} == {**before, "data_snapshot.json": b""}
    assert DataSnapshot.load(kept / "data_snapshot.json").splits == first.splits
    assert (second.before, second.added, second.removed, second.changed) == (first.source_hash, 5, 5, 0)


def test_the_list_names_date_rows_and_the_versions_that_were_made_on_them(task: Path, renew):
    first = DataSnapshot.load(task / "data" / "data_snapshot.json")
    write_atomic(task / "versions" / "v1" / "data_snapshot.json", first.to_bytes())
    second = renew(5)
    found = list_snapshots(task)
    assert (found.task, [s.source_hash for s in found.snapshots]) == (
        "support",
        [second.source_hash, first.source_hash],
    )
    assert found.snapshots[0].name == "present"
    assert [s.versions for s in found.snapshots] == [[], ["v1"]]
    assert found.snapshots[1].rows == {"train": 28, "valid": 6, "test": 6}
    assert found.snapshots[1].date == list_snapshots(task).snapshots[1].date


def test_earlier_data_come_back_and_the_present_ones_are_kept_in_their_turn(task: Path, renew):
    first = data_of(task / "data")
    renew(5)
    second = data_of(task / "data")
    kept = names(task)[1]
    restored = restore_data(task, kept)
    assert data_of(task / "data") == first
    assert restored.snapshot.to_bytes() == first["data_snapshot.json"]
    other = next(name for name in names(task) if name not in ("present", kept))
    hashed = DataSnapshot.load(task / FOLDER / other / "data_snapshot.json").source_hash
    restore_data(task, hashed[:16])
    assert data_of(task / "data") == second
    assert len(list((task / FOLDER).iterdir())) == 2


def test_a_beginning_of_name_or_hash_is_enough_where_it_names_one(task: Path, renew):
    first = DataSnapshot.load(task / "data" / "data_snapshot.json")
    renew(1)
    second = DataSnapshot.load(task / "data" / "data_snapshot.json")
    (kept,) = (one for one in list_snapshots(task).snapshots if one.name != "present")
    with pytest.raises(NotFound, match="no snapshot"):
        restore_data(task, first.source_hash[:3])
    assert restore_data(task, first.source_hash[:4]).snapshot == first
    assert restore_data(task, second.source_hash[:7]).snapshot == second
    assert restore_data(task, kept.name[:-3]).restored == kept.name
    renew(2)
    day = kept.name[:10]
    with pytest.raises(
        NotFound, match=f"several snapshots that begin with '{day}': .*{kept.name}.*Name one in full"
    ):
        restore_data(task, day)


def test_what_is_not_kept_and_what_was_changed_is_not_restored(task: Path, renew):
    renew(5)
    before, kept = data_of(task / "data"), names(task)[1]
    with pytest.raises(NotFound, match=f"no snapshot '{kept}x' .did you mean .*Snapshots: {kept}"):
        restore_data(task, f"{kept}x")
    with (task / FOLDER / kept / "valid.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    with pytest.raises(NotValid, match=r"valid\.jsonl is not the file that its snapshot names"):
        restore_data(task, kept)
    assert data_of(task / "data") == before


def test_so_many_are_kept_as_the_rule_says_and_those_that_a_version_needs(task: Path, renew):
    trained = DataSnapshot.load(task / "data" / "data_snapshot.json")
    write_atomic(task / "versions" / "v1" / "data_snapshot.json", trained.to_bytes())
    set_retention(task, keep=2)
    made = [renew(start) for start in (100, 200, 300, 400)]
    hashes = [snapshot.source_hash for snapshot in list_snapshots(task).snapshots]
    assert hashes == [made[3].source_hash, made[2].source_hash, made[1].source_hash, trained.source_hash]
    set_retention(task, keep=1, keep_trained=False)
    renew(500)
    hashes = [snapshot.source_hash for snapshot in list_snapshots(task).snapshots]
    assert hashes[1:] == [made[3].source_hash]


def test_data_older_than_the_rule_says_are_not_kept(task: Path, renew):
    renew(5)
    (kept,) = (task / FOLDER).iterdir()
    write_atomic(kept / "archive.json", b'{"archived": "2020-01-01T00:00:00.000000+00:00"}')
    set_retention(task, days=30)
    second = DataSnapshot.load(task / "data" / "data_snapshot.json")
    renew(50)
    assert [s.source_hash for s in list_snapshots(task).snapshots][1:] == [second.source_hash]


def test_a_snapshot_of_the_version_before_is_compared_and_kept(task: Path, renew):
    file = task / "data" / "data_snapshot.json"
    old = json.loads(file.read_bytes())
    for name in ("near_duplicates_dropped", "conflicts_dropped", "fixes", "before"):
        del old[name]
    for source in old["sources"].values():
        del source["settings"], source["id"], source["since"]
    for split in old["splits"].values():
        del split["lengths"]
    write_atomic(file, json.dumps(old).encode())
    snapshot = renew(5)
    assert (snapshot.added, snapshot.removed, snapshot.changed) == (5, 5, 0)
    assert [s.source_hash for s in list_snapshots(task).snapshots] == [
        snapshot.source_hash,
        old["source_hash"],
    ]
    restore_data(task, names(task)[1])
    assert DataSnapshot.load(file).source_hash == old["source_hash"]


def convert_anew(task: Path) -> None:
    file = task / "task.yaml"
    Task.load(file).with_changes(instruction="Which team?").save(file)
    convert_data(task)


REPLACE: dict[str, Callable[[Path], object]] = {
    "regenerate_data": regenerate_data,
    "regenerate_data of other rows": lambda task: (
        write(task.parents[1] / "messages.jsonl", 5),
        regenerate_data(task),
    ),
    "convert_data": convert_data,
    "convert_data with another instruction": convert_anew,
    "fix_data": lambda task: fix_data(task, checks=["DATA-EMPTY", "DATA-DUP"], apply=True),
    "restore_data": lambda task: restore_data(task, names(task)[1]),
}


@pytest.mark.parametrize("replace", REPLACE)
def test_files_that_were_edited_by_hand_are_kept_and_come_back_to_the_byte(task: Path, renew, replace: str):
    renew(3)
    write(task.parents[1] / "messages.jsonl", 3)
    edited = edit(task)
    if replace == "fix_data":  # something to mend, so that the file is replaced
        file = task / "data" / "train.jsonl"
        file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[0])
        edited = files_of(task / "data")
    before = names(task)
    REPLACE[replace](task)
    assert files_of(task / "data") != edited
    (kept,) = [name for name in names(task) if name not in before]
    assert files_of(task / FOLDER / kept) == edited
    restored = restore_data(task, kept)
    assert files_of(task / "data") == edited
    assert restored.snapshot == DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert restored.snapshot.splits["train"].sha256 == hashlib.sha256(edited["train.jsonl"]).hexdigest()


def test_the_same_edit_is_kept_once_and_another_one_beside_it(task: Path):
    first = edit(task)
    regenerate_data(task)
    assert edit(task) == first
    regenerate_data(task)
    second = edit(task, "mended")
    regenerate_data(task)
    kept = [files_of(task / FOLDER / name) for name in names(task)[1:]]
    assert kept == [second, first]
    hashes = {snapshot.source_hash for snapshot in list_snapshots(task).snapshots}
    assert len(hashes) == 3


def test_an_edit_that_is_restored_and_replaced_again_is_kept_once(task: Path):
    edited = edit(task)
    regenerate_data(task)
    name = names(task)[1]
    restore_data(task, name)
    regenerate_data(task)
    kept = {folder.name: files_of(folder) for folder in (task / FOLDER).iterdir()}
    assert [there for there, files in kept.items() if files == edited] == [name]


def test_edited_files_that_stay_need_no_copy(task: Path):
    edited = edit(task)
    report = fix_data(task, checks=["DATA-EMPTY"], apply=True)
    assert report.touched == 0
    assert files_of(task / "data") == edited
    assert not (task / FOLDER).exists()
    found = DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert found.splits["train"].sha256 == hashlib.sha256(edited["train.jsonl"]).hexdigest()


def test_an_edit_that_breaks_a_line_or_removes_a_file_is_kept_as_it_is(task: Path):
    with (task / "data" / "train.jsonl").open("ab") as stream:
        stream.write(b'{"messages": [\n')
    (task / "data" / "valid.jsonl").unlink()
    train = (task / "data" / "train.jsonl").read_bytes()
    regenerate_data(task)
    restored = restore_data(task, names(task)[1])
    counts = {name: split.count for name, split in restored.snapshot.splits.items()}
    assert counts == {"train": 29, "test": 6}
    assert (task / "data" / "train.jsonl").read_bytes() == train
    assert not (task / "data" / "valid.jsonl").exists()


def test_files_that_have_no_snapshot_are_kept(task: Path):
    (task / "data" / "data_snapshot.json").unlink()
    write_atomic(task / "data" / "train.jsonl", b'{"messages": []}\n')
    written = {name: (task / "data" / name).read_bytes() for name in ("train.jsonl", "raw/messages.jsonl")}
    regenerate_data(task)
    restore_data(task, names(task)[1])
    assert {name: (task / "data" / name).read_bytes() for name in written} == written


def test_a_kept_copy_that_was_changed_does_not_count_as_one(task: Path, renew):
    first = files_of(task / "data")
    renew(5)
    kept = names(task)[1]
    (task / FOLDER / kept / "train.jsonl").write_bytes(b"")
    renew(0)
    renew(5)
    assert first in [files_of(task / FOLDER / name) for name in names(task)[1:]]


def remake(task: Path, how: str) -> DataSnapshot:
    return {"regenerate_data": regenerate_data, "convert_data": convert_data}[how](task)


@pytest.mark.parametrize("how", ["regenerate_data", "convert_data"])
def test_a_hand_edit_that_is_replaced_is_counted_kept_and_said(task: Path, how: str):
    edited = edit(task)
    made = remake(task, how)
    present, kept = list_snapshots(task).snapshots
    assert (made.before, made.before_edited, made.edited) == (kept.source_hash, True, False)
    assert (made.added, made.removed, made.changed) == (0, 0, 3)
    assert files_of(task / FOLDER / kept.name) == edited
    assert (present.edited, kept.edited) == (False, True)
    assert made.against == (
        "Against the data before, which had been edited by hand: 0 added, 0 removed, 3 changed."
    )
    again = remake(task, how)
    assert (again.before, again.before_edited, again.changed) == (made.source_hash, False, 0)


def test_rows_that_were_deleted_and_written_by_hand_are_counted(task: Path, renew):
    renew(3)
    file = task / "data" / "train.jsonl"
    first, second, *others = file.read_bytes().splitlines(keepends=True)
    new = first.replace(b"message number", b"a new message").replace(b'"id":"messages-', b'"id":"mine-')
    file.write_bytes(b"".join([*others, new]))
    write(task.parents[1] / "messages.jsonl", 3)
    made = regenerate_data(task)
    assert (made.added, made.removed, made.changed) == (2, 1, 0)
    assert second in file.read_bytes()


def test_a_line_that_an_edit_has_broken_hides_no_other_row(task: Path):
    file = task / "data" / "train.jsonl"
    file.write_bytes(b"{" + file.read_bytes())
    made = regenerate_data(task)
    assert (made.before_edited, made.added, made.removed, made.changed) == (True, 1, 0, 0)


def texts(files: dict[str, bytes]) -> set[str]:
    lines = (line for name, data in files.items() if "/" not in name for line in data.splitlines())
    return {json.loads(line)["messages"][-2]["content"] for line in lines}


def test_an_edit_before_other_rows_came_is_counted_against_what_lay_there(task: Path, renew):
    edited = texts(edit(task))
    made = renew(5)
    now = texts(files_of(task / "data"))
    assert made.before_edited
    assert (made.added, made.removed, made.changed) == (len(now - edited), len(edited - now), 0)


def test_present_data_that_somebody_edited_are_listed_as_edited(task: Path):
    assert [one.edited for one in list_snapshots(task).snapshots] == [False]
    file = task / "data" / "train.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[1:]))
    (present,) = list_snapshots(task).snapshots
    assert (present.name, present.edited, present.rows["train"]) == ("present", True, 27)


def test_a_restored_edit_is_still_one_by_hand(task: Path):
    edit(task)
    regenerate_data(task)
    restored = restore_data(task, names(task)[1])
    assert restored.snapshot.edited
    present, _, kept = list_snapshots(task).snapshots
    assert (present.edited, kept.edited) == (True, True)
    assert regenerate_data(task).before_edited


def test_restoring_names_what_it_restored_and_what_it_kept(task: Path, renew):
    renew(5)
    (_, old) = names(task)
    restored = restore_data(task, old)
    assert restored.restored == old
    assert restored.kept in names(task) and restored.kept != old
    again = restore_data(task, old)
    assert (again.restored, again.kept) == (old, None)
    set_retention(task, keep=0)
    assert restore_data(task, restored.kept).kept is None


def test_the_first_data_are_compared_with_nothing(task: Path):
    first = DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert (first.before, first.against) == (None, "")
