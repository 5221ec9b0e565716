"""Runs share a machine's devices through a queue: in order of start, and a process that was killed holds nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.errors import NotValid
from nlp_skills.training.devices import device_environment, visible_devices
from nlp_skills.training.queue import Ticket, Waiting, grants, in_queue, queue_folder, waiting

HOLDER = """
import sys
from pathlib import Path
from nlp_skills.training.queue import in_queue
with in_queue(Path(sys.argv[1]), "v1", 1) as place:
    print(",".join(place.wait()), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return tmp_path / "queue"


def hold(task: Path) -> subprocess.Popen[str]:
    """Another process that has its devices."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(task)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ticket(*devices: str, wanted: int = 1, allowed: tuple[str, ...] = ("0", "1")) -> Ticket:
    return Ticket(task="t", version="v1", wanted=wanted, allowed=list(allowed), devices=list(devices))


def test_each_run_gets_a_device_of_its_own_and_the_third_waits_behind_both(tmp_path: Path) -> None:
    with in_queue(tmp_path / "a", "v1", 1) as a, in_queue(tmp_path / "b", "v1", 1) as b:
        assert (a.wait(), b.wait()) == (["0"], ["1"])
        with in_queue(tmp_path / "c", "v2", 1), in_queue(tmp_path / "d", "v1", 1):
            assert waiting(tmp_path / "c", "v2") == Waiting(place=1, behind=["a v1", "b v1"])
            assert waiting(tmp_path / "d", "v1") == Waiting(place=2, behind=["a v1", "b v1"])
            assert waiting(tmp_path / "a", "v1") is None


def test_run_goes_on_when_the_one_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    process = hold(tmp_path / "killed")
    with in_queue(tmp_path / "next", "v1", 1) as place:
        found: list[list[str]] = []
        waiter = threading.Thread(target=lambda: found.append(place.wait()))
        waiter.start()
        assert waiting(tmp_path / "next", "v1") == Waiting(place=1, behind=["killed v1"])
        process.kill()
        process.communicate()
        waiter.join()
        assert found == [["1"]]
    assert [file.name for file in queue_folder().iterdir() if file.name != "gate.lock"] == []


def test_nobody_takes_a_gpu_that_an_earlier_run_of_two_gpus_waits_for() -> None:
    waits = {1: ticket("0"), 2: ticket(wanted=2), 3: ticket()}
    assert grants(waits) == {}
    assert grants({2: waits[2], 3: waits[3]}) == {2: ["0", "1"]}
    assert grants({1: ticket("0"), 2: ticket(allowed=("0",)), 3: ticket()}) == {3: ["1"]}


@given(st.lists(st.tuples(st.integers(1, 3), st.sets(st.sampled_from("0123"), min_size=3)), max_size=8))
def test_devices_are_never_given_twice_and_the_first_never_waits_for_a_later_one(
    wishes: list[tuple[int, set[str]]],
) -> None:
    tickets = {n: ticket(wanted=w, allowed=tuple(sorted(a))) for n, (w, a) in enumerate(wishes)}
    order = []
    while tickets:
        found = grants(tickets)
        given_now = [device for devices in found.values() for device in devices]
        held = [device for other in tickets.values() for device in other.devices]
        assert len(given_now + held) == len(set(given_now + held))
        tickets = {n: t.with_changes(devices=found.get(n, t.devices)) for n, t in tickets.items()}
        order += list(found)
        first = min(tickets)
        assert tickets[first].devices, "the oldest one always has its devices"
        tickets.pop(first)
    assert sorted(order) == list(range(len(wishes)))


def test_more_gpus_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotValid, match=r"takes 3 GPUs \(num_processes\), and 2 can be seen here: 0, 1\."):
        with in_queue(tmp_path / "t", "v1", 3):
            pass


def test_processor_counts_as_one_device_whatever_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with in_queue(tmp_path / "t", "v1", 2) as place:
        assert place.wait() == ["cpu"]
    assert device_environment(["cpu"]) == {}
    assert device_environment(["2", "3"]) == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "2,3",
    }


@pytest.mark.parametrize(
    ("value", "devices"),
    [("0,1", ["0", "1"]), (" 3 ", ["3"]), ("", ["cpu"]), ("-1", ["cpu"]), ("0,-1,2", ["0"])],
)
def test_visible_devices_are_read_as_cuda_does(
    value: str, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_devices() == devices


def test_ticket_whose_process_was_killed_is_removed(tmp_path: Path, queue: Path) -> None:
    queue.mkdir()
    ticket("0", "1").save(queue / "4.json")
    FileLock(queue / "4.lock").acquire(timeout=0).lock.release()
    (queue / "4.lock").touch()
    with in_queue(tmp_path / "t", "v1", 2) as place:
        assert place.wait() == ["0", "1"]
    assert not (queue / "4.json").exists()
