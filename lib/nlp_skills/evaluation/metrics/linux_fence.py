"""What a process on Linux can take from itself for good, without any right: Landlock for files, seccomp for the rest.

It is loaded by sandbox_child.py, a script that runs without this package: nothing of it is imported here. Numbers are
those of the kernel's own tables; where the kernel or the processor is another one, nothing is fenced and nothing said.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446

WRITE_FILE, MAKE_AND_REMOVE, REFER, TRUNCATE = 1 << 1, 0b1_1111_1111 << 4, 1 << 13, 1 << 14
"""Rights of Landlock; REFER since its second version, TRUNCATE since its third. Reading stays as it was."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""What seccomp calls a processor, and which column of REFUSED is its own."""

CLONE, CLONE3 = (56, 220), 435
CLONE_THREAD = 0x10000

REFUSED = {
    "processes": "57/ 58/ 59/221 322/281 101/117 272/97 308/268",  # fork vfork execve execveat ptrace unshare setns
    "signals to others": "62/129 200/130 234/131 129/138 297/240 424/424 310/270 311/271 434/434 438/438",
    "network": "41/198 53/199 425/425 426/426 427/427",  # socket socketpair io_uring_*
    "limits": "302/261 160/164",  # prlimit64 setrlimit: root could raise its own
    "owners and modes": "90/ 91/52 92/ 93/55 94/ 260/54 268/53 452/452 188/5 189/6 190/7 197/14 198/15 199/16",
    "the system": "165/40 166/39 169/142 175/105 313/273 321/280 161/51 155/41 250/219 248/217 298/241 323/282 246/104",
}
"""System calls by their numbers on x86_64/aarch64; an empty one is a call that the processor does not have."""

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def fence(folder: str) -> list[str]:
    """Take from this process what it does not need; the names of what is fenced: files, network, processes."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return []
    files = ["files"] if _restrict_files(libc, folder) else []
    return files + (["network", "processes"] if _restrict_calls(libc) else [])


def _restrict_files(libc: ctypes.CDLL, folder: str) -> bool:
    """Writing, making and removing only in the folder (and /dev/null)."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    writing = WRITE_FILE | MAKE_AND_REMOVE
    writing |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    attributes = ctypes.create_string_buffer(struct.pack("=Q", writing), 8)
    rules = libc.syscall(CREATE_RULESET, attributes, 8, 0)
    if rules < 0:
        return False
    allowed = [(folder, writing), (os.devnull, writing & (WRITE_FILE | TRUNCATE))]
    return all(_allow(libc, rules, *rule) for rule in allowed) and libc.syscall(RESTRICT_SELF, rules, 0) == 0


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> bool:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    beneath = ctypes.create_string_buffer(struct.pack("=Qi", rights, place), 12)
    try:
        return libc.syscall(ADD_RULE, rules, 1, beneath, 0) == 0
    finally:
        os.close(place)


def _restrict_calls(libc: ctypes.CDLL) -> bool:
    """Refuse the calls of REFUSED; new threads stay possible, new processes do not."""
    known = ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    code = _program(*known)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(buffer))
    return libc.prctl(SECCOMP, FILTER, ctypes.create_string_buffer(program, len(program)), 0, 0) == 0


def _program(architecture: int, column: int) -> bytes:
    """The filter in the kernel's bytecode (seccomp(2)): each line an operation, two jumps and a number."""
    numbers = [pair.split("/")[column] for pairs in REFUSED.values() for pair in pairs.split()]
    refuse = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    lines = [
        (_LOAD, 0, 0, 4),  # the processor's name: another one is a program in another mode
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the call's number
        (_GREATER_EQUAL, 0, 1, 0x40000000),  # x32: the same calls under other numbers
        refuse,
        (_EQUAL, 0, 1, CLONE3),  # its flags cannot be seen from here; the C library goes on with clone
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        *(line for number in numbers if number for line in ((_EQUAL, 0, 1, int(number)), refuse)),
        (_EQUAL, 0, 3, CLONE[column]),
        (_LOAD, 0, 0, 16),  # its flags
        (_ANY_BIT, 1, 0, CLONE_THREAD),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
