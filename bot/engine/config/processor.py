"""What this processor has, and how many threads may use it; read without torch."""

from __future__ import annotations

import os
from functools import lru_cache

import psutil

from bot.engine.config import control_group


@lru_cache(maxsize=1)
def flags() -> frozenset[str]:
    """The names that Linux gives the processor's instructions; none elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        line = ""
    return frozenset(line.partition(":")[2].split())


def cores() -> int:
    """Cores that this process may use; two threads of one core count once, and so does a part of one.

    A control group's share of time is a limit like any: with more threads than that, all of them would be
    stopped together for the rest of each period.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed, control_group.cores() or allowed)
