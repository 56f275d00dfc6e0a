"""The machine: Python, packages, processor, threads, swap, disk, and the pitfalls of its platform."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from bot.doctor.findings import Finding, broken, doubtful, fine
from bot.engine import EngineError
from bot.engine.config.torch_needs import torch_starts
from bot.engine.kernels.bindings import AUTO, PLAIN, KernelsMissing, choose_kernels, left_out, runnable
from bot.engine.kernels.build_library import LIBRARY
from bot.storage import StorageError
from bot.storage.database import sqlite_path
from config.settings import ROOT, Settings

PYTHONS = ((3, 10), (3, 13))
LEAST_DISK_MB = 500


def examine(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the machine."""
    yield python(sys.version_info[:2], sys.maxsize > 2**32)
    yield packages()
    if not settings.llm_url:
        yield kernels(settings.kernels)
    yield threads(settings.threads, cores())
    yield swap(psutil.swap_memory().used, psutil.virtual_memory().total)
    yield from system(platform.release().lower())
    yield torch_build()
    yield from secrets(ROOT / ".env")


def python(version: tuple[int, int], wide: bool) -> Finding:
    """Whether this Python is one of those that the bot is tested on."""
    shown, (low, high) = ".".join(map(str, version)), PYTHONS
    if not wide:
        return broken("python", f"{shown} is a 32-bit build", "a 64-bit system and Python are needed")
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


def kernels(wanted: str) -> Finding:
    """Which kernels compute int8 and int4 here."""
    try:
        chosen, here, better = choose_kernels(wanted).name.decode(), ", ".join(runnable()), left_out()
    except KernelsMissing as problem:
        return doubtful("kernels", f"torch computes, slowly and in float32: {problem}", "run `make setup`")
    except EngineError as problem:
        return broken("kernels", str(problem), "take KERNELS out of .env")
    machine = platform.machine().lower()
    if wanted == PLAIN and (better or len(runnable()) > 1):
        return doubtful("kernels", f"{PLAIN}, as KERNELS says; here are {here}", "take KERNELS out of .env")
    if better and wanted == AUTO:
        said = f"{chosen}: {machine} has {', '.join(better)} too, which the compiler could not make"
        return doubtful("kernels", said, f"install a newer compiler, remove {LIBRARY}, and run `make setup`")
    if chosen == PLAIN:
        said = f"{chosen}: {machine} without vector instructions that are known here"
        return doubtful("kernels", said, "it works, slowly; a Raspberry Pi 5 has such instructions")
    return fine("kernels", f"{chosen} on {machine}; here are {here}")


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
    """Which torch there is, for float32 and bfloat16, and whether it is built for processors alone."""
    version = metadata.version("torch")
    if not torch_starts():
        said = f"{version} does not start on this processor (ARMv8.0), and is not needed for int8 and int4"
        return fine("torch", said)
    if graphics := _built_for_graphics():
        return doubtful(
            "torch",
            f"{version} is a build for graphics cards ({graphics}), which takes gigabytes and is not used",
            "`make clean`, then `make setup`, which takes the build for processors where it can be had",
        )
    return fine("torch", f"{version}, for float32 and bfloat16")


def _built_for_graphics() -> str:
    """What torch's own file of versions says of that; read without torch, whose import takes seconds."""
    file = metadata.distribution("torch").locate_file("torch/version.py")
    text = Path(str(file)).read_text(encoding="utf-8")
    found = re.search(r"^(cuda|hip)\b[^=\n]*= *['\"](.+)['\"]", text, re.MULTILINE)
    return " ".join(found.groups()) if found else ""


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
