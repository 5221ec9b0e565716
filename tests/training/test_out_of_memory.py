"""Too little memory is told from other ends of a process; so is a full disk."""

import errno
import signal
from pathlib import Path

import pytest

from nlp_skills.training.preflight.disk import disk_findings, is_disk_full, needed_bytes
from nlp_skills.training.preflight.out_of_memory import (
    EvaluationOutOfMemory,
    KernelKills,
    is_out_of_memory,
    kernel_kills,
    killed_for_memory,
    while_evaluating,
)
from nlp_skills.training.run.worker import failure_text

KILLED = -getattr(signal, "SIGKILL", 9)


class OutOfMemoryError(RuntimeError):
    """torch's, by its name."""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"
            ),
            True,
        ),
        (RuntimeError("not enough memory: you tried to allocate 8 bytes"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_an_error_says_of_memory(error: BaseException, is_memory: bool):
    assert is_out_of_memory(error) is is_memory


def test_a_process_was_killed_for_memory_when_the_kernel_has_counted_one_more():
    three, four = KernelKills("here", 3), KernelKills("here", 4)
    assert killed_for_memory(KILLED, three, four)
    assert not killed_for_memory(KILLED, three, three)  # somebody has killed it by hand
    assert not killed_for_memory(KILLED, None, None)
    assert not killed_for_memory(KILLED, three, KernelKills("there", 4))
    assert not killed_for_memory(0, three, four)


def test_too_little_memory_for_validation_is_told_apart():
    with (
        pytest.raises(EvaluationOutOfMemory, match=r"^not enough memory: you tried$") as told,
        while_evaluating(),
    ):
        raise RuntimeError("not enough memory: you tried")
    assert is_out_of_memory(told.value)
    assert failure_text(told.value, "v1") == (
        "EVAL-MEM: the memory did not suffice for a batch of validation rows (EvaluationOutOfMemory: not enough memory: you"
        " tried)"
    )
    with pytest.raises(RuntimeError, match="shapes"), while_evaluating():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_the_control_groups_own_count_goes_before_the_machines(tmp_path: Path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    assert kernel_kills(tmp_path) == KernelKills(f" {tmp_path / 'proc/vmstat'}", 7)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("a1\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/user/app\n")
    group = tmp_path / "sys/fs/cgroup/user/app"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\n")
    assert kernel_kills(tmp_path) == KernelKills(f"a1 {group / 'memory.events'}", 1)
    assert kernel_kills(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EFBIG, "File too large"), True),
        (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_what_an_error_says_of_the_disk(error: BaseException, is_full: bool):
    assert is_disk_full(error) is is_full


def test_what_a_run_writes():
    largest, total = needed_bytes(1_000_000, 2_000_000)
    # Adam's two moments are the largest file; two checkpoints kept, one being written, the model, and small things.
    assert largest == 8_000_000
    assert total == 3 * 14_000_000 + 4_000_000 + 2_000_000 + (16 << 20)


def test_a_disk_that_is_too_small_is_told_with_its_figures(tmp_path: Path):
    assert list(disk_findings(tmp_path / "v1", 1000, 2000)) == []
    found = list(disk_findings(tmp_path / "v1", 1 << 60, 1 << 62))
    assert [(f.check, f.level) for f in found] == [("ENV-DISK", "error")]
    assert "MiB are free" in found[0].message
    assert list((tmp_path / "v1").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "models").write_text("a file where the folder should be")
    found = list(disk_findings(tmp_path / "models" / "v1", 1, 1))
    assert [(f.check, f.level) for f in found] == [("ENV-WRITE", "error")]
