"""What this processor has, read without torch, whose import takes longer than all else."""

from __future__ import annotations

import os
import platform
from functools import lru_cache

import psutil


@lru_cache(maxsize=1)
def flags() -> frozenset[str]:
    """The names that Linux gives the processor's instructions; none elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        line = ""
    return frozenset(line.partition(":")[2].split())


def is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


def has_avx2() -> bool:
    """Whether x86 multiplies sixteen 16-bit integers at once."""
    return is_x86() and "avx2" in flags()


def has_vnni() -> bool:
    """Whether x86 multiplies and adds four pairs of 8-bit integers in 32 bits, sixteen at once (VNNI)."""
    return is_x86() and "avx512_vnni" in flags()


def cores() -> int:
    """Cores that this process may use; two threads of one core count once."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)
