"""Installs torch as `make setup` wants it: the build for processors, where an index of those answers.

Run with the environment's Python before anything else is installed, so that only the standard library and
what pip brings along are imported. On x86 Linux the usual package index has torch for graphics cards,
several GB that are never used.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from pip._vendor.packaging.requirements import Requirement

from bot.app.package_index import Unsuitable, exact_needs, find_wheel
from bot.app.proxies import exempt_this_machine

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # as torch's own installation page names it
USUAL_INDEX = "https://pypi.org/simple"  # pip's, where it is not configured otherwise
ANSWER_SECONDS = 5.0  # for all that is asked of one index, looking up its name included
SUM_SECONDS = 30.0  # for finding out how much the usual index would send
ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def main(arguments: list[str] | None = None) -> int:
    """Install torch unless one that serves is there, and write constraints for all else; pip's exit code."""
    parser = argparse.ArgumentParser(prog="torch_build", description=__doc__)
    parser.add_argument(
        "constraints", type=Path, help="written: constraints.txt with the torch that is there"
    )
    parser.add_argument("--index", default="", help="TORCH_INDEX: the only index to take torch from")
    parser.add_argument("--cpu-index", default=CPU_INDEX, help="asked first on x86 Linux")
    parser.add_argument("--seconds", type=float, default=ANSWER_SECONDS, help="for an index to answer")
    options = parser.parse_args(arguments)
    exempt_this_machine()
    there = installed()
    if there and serves(there):
        say(f"{there} is installed and kept: nothing to fetch")
    elif code := install(options.index, options.cpu_index, options.seconds):
        return code
    options.constraints.write_text(constraints(metadata.version("torch")), encoding="utf-8")
    return 0


def install(index: str, cpu_index: str, seconds: float) -> int:
    """Let pip install torch from `index`, else from `cpu_index` where it serves, else as configured."""
    if index:
        size = known(seconds, lambda: find_wheel(index, pinned()).size)
        say(f"from TORCH_INDEX, {index}: {amount(size)}")
        return pip("--index-url", index, pinned())
    reason = ""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        try:
            wheel = within(seconds, lambda: find_wheel(cpu_index, pinned()))
            say(f"the build for processors, from {cpu_index}: {amount(wheel.size)}")
            if pip("--index-url", cpu_index, f"torch=={wheel.version}") == 0:
                return 0
            reason = f"; {cpu_index} failed, see above"
        except Unsuitable as problem:
            reason = f"; {cpu_index} {problem}"
    size, whole = known(SUM_SECONDS, usual_size) or (None, False)
    say(f"from the usual package index: {amount(size, whole)}{reason}")
    return pip(pinned())


def pip(*arguments: str) -> int:
    """`pip install` of torch alone: what it needs comes with all else, from the usual index."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    return subprocess.run([*command, *arguments], check=False).returncode  # noqa: S603  # fixed words, an index


def installed() -> str | None:
    """The version of the torch that is there."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


def serves(version: str) -> bool:
    """Whether this torch is within the range that pyproject.toml asks for."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    asked = re.search(r'"(torch[<>=][^"]*)"', text)
    assert asked is not None
    return bool(Requirement(asked[1]).specifier.contains(version, prereleases=True))


def pinned() -> str:
    """The requirement by constraints.txt for this machine."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line.startswith("torch==")]
    return next(f"torch{pin.specifier}" for pin in pins if not pin.marker or pin.marker.evaluate())


def constraints(version: str) -> str:
    """constraints.txt with this torch in place of its own, so that nothing chooses another build."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rest = [line for line in lines if not line.startswith("torch==")]
    return "\n".join([*rest, f"torch=={version}"]) + "\n"


def usual_size() -> tuple[int | None, bool]:
    """What pip would fetch for torch from the usual index, in bytes, and whether that is all of it. Blocking.

    What torch wants in exact versions counts, the gigabytes for graphics cards among it; all else is
    small and fetched for every build.
    """
    index, whole = usual_index(), True
    sizes: dict[str, int] = {}
    waiting, seen = [pinned()], set[str]()
    while waiting:
        if (line := waiting.pop()) in seen:
            continue
        seen.add(line)
        requirement = Requirement(line)
        try:
            wheel = find_wheel(index, f"{requirement.name}{requirement.specifier}")
        except Unsuitable:
            whole = False
            continue
        sizes[wheel.url] = wheel.size or 0
        needs = exact_needs(wheel, requirement.extras)
        whole = whole and wheel.size is not None and needs is not None
        waiting += needs or []
    return sum(sizes.values()) or None, whole


def usual_index() -> str:
    """The index that pip is configured to use: by the environment, else by its files.

    Raises Unsuitable where pip is to look elsewhere too, so that it is open which wheel it takes.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    if re.search(r"\.(extra-index-url|find-links|no-index)=", listed.stdout):
        raise Unsuitable("is not pip's only place")
    found = dict(re.findall(r"^(:env:|install|global)\.index-url='([^']+)'", listed.stdout, re.MULTILINE))
    return next((found[place] for place in (":env:", "install", "global") if place in found), USUAL_INDEX)


def within(seconds: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, which may hang. Raises Unsuitable, also after so many seconds."""
    found: list[T] = []
    problems: list[Unsuitable] = []

    def work() -> None:
        try:
            found.append(ask())
        except Unsuitable as problem:
            problems.append(problem)

    asking = threading.Thread(target=work, daemon=True)
    asking.start()
    asking.join(seconds)
    if found:
        return found[0]
    raise problems[0] if problems else Unsuitable(f"does not answer within {seconds:g} s")


def known(seconds: float, ask: Callable[[], T]) -> T | None:
    """As `within`; None where nothing is to be known."""
    try:
        return within(seconds, ask)
    except Unsuitable:
        return None


def amount(size: int | None, whole: bool = True) -> str:
    """How much is fetched, in words."""
    if size is None:
        return "how much will be fetched is not known"
    shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
    return f"{'' if whole else 'at least '}{shown} to fetch"


def say(text: str) -> None:
    """One line for whoever waits."""
    print(f"torch: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
