"""What this process's control group allows (Linux, cgroup v2): its own limits and those of all groups above.

In a container the group is most often the root of what is mounted; under systemd it is some folders deep.
"""

from __future__ import annotations

import math
from pathlib import Path

_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int | None:
    """How many cores' time it has (docker --cpus, systemd's CPUQuota), rounded up; None without a limit."""
    found = []
    for group in _groups():
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(max(1, math.ceil(int(quota) / int(period))))
    return min(found, default=None)


def memory() -> int | None:
    """Bytes of memory that it may have (docker --memory, systemd's MemoryMax); None without a limit."""
    limits = (_read(group / "memory.max") for group in _groups())
    return min((int(limit) for limit in limits if limit.isdecimal()), default=None)


def free_memory() -> int | None:
    """Bytes of that which are not taken yet, by this process or others of a group; None without a limit."""
    found = []
    for group in _groups():
        limit, taken = _read(group / "memory.max"), _read(group / "memory.current")
        if limit.isdecimal() and taken.isdecimal():
            found.append(max(0, int(limit) - int(taken)))
    return min(found, default=None)


def _groups() -> list[Path]:
    """The folders of its group and of those above it; the root alone where its group is not mounted."""
    own = next((line[4:] for line in _read(_OWN).splitlines() if line.startswith("0::/")), "")
    above = [_ROOT / own, *(_ROOT / own).parents] if (_ROOT / own).is_dir() else [_ROOT]
    return above[: above.index(_ROOT) + 1]


def _read(file: Path) -> str:
    """Nothing where it cannot be read: the root has no limits, and other systems no groups."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
