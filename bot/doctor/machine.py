"""The machine: Python, packages, processor, threads, swap, disk, and the pitfalls of its platform."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path

import psutil

from bot.doctor.findings import Finding, broken, doubtful, fine
from bot.engine.config.processor import flags
from bot.storage import StorageError
from bot.storage.database import sqlite_path
from config.settings import ROOT, Settings

OTHER_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHONS = ((3, 10), (3, 13))
LEAST_DISK_MB = 500
# Without them the kernels this bot is fast with are not there.
WANTED = {"x86_64": ("avx2", "AVX2"), "aarch64": ("asimddp", "dot-product instructions (ARMv8.2)")}


def examine(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the machine."""
    yield python(sys.version_info[:2], sys.maxsize > 2**32)
    yield packages()
    if starts := torch_starts():
        yield processor(platform.machine().lower(), flags())
    else:
        yield no_torch(bool(settings.llm_url))
    yield threads(settings.threads, cores())
    yield swap(psutil.swap_memory().used, psutil.virtual_memory().total)
    yield from system(platform.release().lower())
    if starts:
        yield torch_build()
    yield from secrets(ROOT / ".env")


def python(version: tuple[int, int], wide: bool) -> Finding:
    """Whether this Python is one of those that the bot is tested on."""
    shown, (low, high) = ".".join(map(str, version)), PYTHONS
    if not wide:
        return broken("python", f"{shown} is a 32-bit build", "torch needs a 64-bit system and Python")
    if not low <= version <= high:
        return broken("python", f"{shown} is not supported", "use 3.10 to 3.13 and run `make setup` again")
    return fine("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def packages() -> Finding:
    """Whether what `pyproject.toml` asks for is installed."""
    missing = []
    for requirement in metadata.requires("all-in-one-bot") or ():
        name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
        if "extra ==" in requirement or 'python_version < "3.11"' in requirement.replace("'", '"'):
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return broken("packages", f"not installed: {', '.join(missing)}", "run `make setup`")
    return fine("packages", f"torch {metadata.version('torch')}, slack_bolt {metadata.version('slack_bolt')}")


def processor(machine: str, found: Collection[str]) -> Finding:
    """Whether the processor has the instructions that make the difference. `found`: empty where unknown."""
    machine = OTHER_NAMES.get(machine, machine)
    if machine not in WANTED:
        return doubtful("processor", f"{machine} was never tried", "x86-64 or 64-bit ARM is what is tested")
    flag, name = WANTED[machine]
    if found and flag not in found:
        return doubtful("processor", f"has no {name}", "it works, slowly; a Raspberry Pi 5 has them")
    return fine("processor", f"{machine} with {name}" if found else machine)


def torch_starts() -> bool:
    """Whether the torch that is installed can be imported here; where not, importing it ends the process."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return True  # that is another finding
    return has_instructions(platform.machine().lower(), flags(), version)


def has_instructions(machine: str, found: Collection[str], version: str) -> bool:
    """Whether the processor has what this torch is built of.

    2.10, the one that is pinned for 64-bit ARM, needs the atomic instructions of ARMv8.1
    (github.com/pytorch/pytorch/issues/176993).
    """
    needs = OTHER_NAMES.get(machine, machine) == "aarch64" and version.startswith("2.10.")
    return not needs or not found or "atomics" in found


def no_torch(elsewhere: bool) -> Finding:
    """What is left on a processor on which torch does not start. `elsewhere`: LLM_URL is set."""
    said = f"has no atomic instructions (ARMv8.0), so that torch {metadata.version('torch')} does not start"
    if elsewhere:
        return fine("processor", f"{said}, which LLM_URL does without")
    mend = "use a Raspberry Pi 5 or another ARMv8.2 machine, or set LLM_URL to a server on another machine"
    return broken("processor", said, mend)


def threads(wanted: int, there: int) -> Finding:
    """Whether the model's threads fit the cores this process may use."""
    if wanted > there:
        return doubtful(
            "threads", f"{wanted} threads share {there} cores", f"set THREADS={there}, or 0 for one a core"
        )
    return fine("threads", f"{wanted or there} of {there} cores for the model")


def swap(used: int, memory: int) -> Finding:
    """Whether the machine swaps: a model that is read from swap for each token is of no use."""
    if used > memory // 10:
        return doubtful(
            "swap", f"{used / 1e6:,.0f} MB are in use", "close other programs, or use PRECISION=int4"
        )
    return fine("swap", "next to nothing is in use")


def disk(settings: Settings) -> Finding:
    """Whether the database's disk has room."""
    try:
        file = sqlite_path(settings.database_url)
    except StorageError as problem:
        return broken("disk", "no database to look for", str(problem))
    directory = _existing((ROOT / file).parent if file else ROOT)
    free = shutil.disk_usage(directory).free // 10**6
    if free < LEAST_DISK_MB:
        return doubtful("disk", f"{free:,} MB are free in {directory}", "make room")
    return fine("disk", f"{free:,} MB are free in {directory}")


def system(release: str) -> Iterator[Finding]:
    """Pitfalls of WSL."""
    if "microsoft" in release:
        if str(ROOT).startswith("/mnt/"):
            yield doubtful(
                "wsl", "the project is on a Windows disk, where SQLite is slow and may lock", "move it to ~"
            )
        else:
            yield fine("wsl", "WSL2; other machines reach the page only with port forwarding in Windows")


def torch_build() -> Finding:
    """Whether torch is built for processors alone."""
    import torch

    if torch.version.cuda or torch.version.hip:
        return doubtful(
            "torch",
            "is a build for graphics cards, which takes gigabytes and is not used",
            "`make clean`, then `make setup`, which takes the build for processors where it can be had",
        )
    return fine("torch", f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()} kernels")


def secrets(env: Path) -> Iterator[Finding]:
    """Whether only this user can read the tokens."""
    if os.name == "posix" and env.is_file() and env.stat().st_mode & 0o077:
        yield doubtful(".env", "others on this machine can read the tokens in it", f"chmod 600 {env}")


def cores() -> int:
    """Logical cores that this process may use; the engine counts physical ones."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _existing(directory: Path) -> Path:
    while not directory.is_dir() and directory != directory.parent:
        directory = directory.parent
    return directory
