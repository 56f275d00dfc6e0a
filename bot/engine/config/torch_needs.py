"""Whether the torch that is installed starts on this processor: where not, importing it ends the process."""

from __future__ import annotations

import platform
from collections.abc import Collection
from importlib import metadata

from bot.engine.config.processor import flags
from bot.engine.errors import EngineError


def torch_starts() -> bool:
    """Whether torch can be imported here, or is not there at all, which importing it says."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return True
    return has_instructions(platform.machine().lower(), flags(), version)


def has_instructions(machine: str, found: Collection[str], version: str) -> bool:
    """Whether the processor has what this torch is built of.

    2.10, the one that is pinned for 64-bit ARM, needs the atomic instructions of ARMv8.1
    (github.com/pytorch/pytorch/issues/176993).
    """
    needs = machine in ("aarch64", "arm64") and version.startswith("2.10.")
    return not needs or not found or "atomics" in found


def require_torch(purpose: str) -> None:
    """Raises EngineError where torch does not start. `purpose`: what it is wanted for, with its mend."""
    if not torch_starts():
        version = metadata.version("torch")
        raise EngineError(f"torch {version} does not start on this processor (ARMv8.0): {purpose}")
