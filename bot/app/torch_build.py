"""Installs torch as `make setup` wants it: the build for processors, where an index of those answers.

Run with the environment's Python before anything else is installed, so that only the standard library and
what pip brings along are imported. On x86 Linux the usual package index has torch for graphics cards,
several GB that are never used.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from html.parser import HTMLParser
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.tags import sys_tags
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename
from pip._vendor.packaging.version import Version

from bot.app.proxies import exempt_this_machine, open_url

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # as torch's own installation page names it
USUAL_INDEX = "https://pypi.org/simple"  # pip's, where it is not configured otherwise
ANSWER_SECONDS = 5.0  # for all that is asked of one index, looking up its name included
SUM_SECONDS = 30.0  # for finding out how much the usual index would send
ROOT = Path(__file__).parents[2]
_JSON = "application/vnd.pypi.simple.v1+json"
_PAGES = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_HERE = frozenset(sys_tags())
T = TypeVar("T")


@dataclass(frozen=True)
class Wheel:
    """One that an index has for this Python and machine."""

    version: str
    url: str
    size: int | None  # bytes
    described: bool  # what it needs can be asked for without fetching it


@dataclass(frozen=True)
class Link:
    """One file of an index's page, as `Wheel`."""

    href: str
    size: int | None
    described: bool


class Unsuitable(Exception):
    """Why an index is not used."""


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
        size = known(seconds, lambda: find(index, pinned()).size)
        say(f"from TORCH_INDEX, {index}: {amount(size)}")
        return pip("--index-url", index, pinned())
    reason = ""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        try:
            wheel = within(seconds, lambda: find(cpu_index, pinned()))
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


def find(index: str, requirement: str) -> Wheel:
    """The newest wheel that fits, on an index, for this Python and machine. Raises Unsuitable. Blocking."""
    asked = Requirement(requirement)
    address = f"{index.rstrip('/')}/{canonicalize_name(asked.name)}/"
    if urlsplit(address).scheme not in ("http", "https"):
        raise Unsuitable("is not asked: it is no http address")
    try:
        with open_url(_request(address, Accept=_PAGES), 60) as answer:
            base, kind, text = answer.geturl(), answer.headers.get_content_type(), answer.read().decode()
        links = _json_links(text) if kind == _JSON else _html_links(text)
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as problem:
        raise Unsuitable(f"does not answer ({problem})") from None
    fitting = [(version, link) for link in links if (version := _version(link.href, asked)) is not None]
    if not fitting:
        raise Unsuitable(f"has no {requirement} for this Python and machine")
    version, link = max(fitting, key=lambda each: each[0])
    url = urljoin(base, link.href)
    return Wheel(str(version), url, link.size or _size(url), link.described)


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
            wheel = find(index, f"{requirement.name}{requirement.specifier}")
        except Unsuitable:
            whole = False
            continue
        sizes[wheel.url] = wheel.size or 0
        needs = _needs(wheel, requirement.extras)
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


class _Links(HTMLParser):
    """The links of a simple page, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def _html_links(text: str) -> list[Link]:
    page = _Links()
    page.feed(text)
    names = ("data-core-metadata", "data-dist-info-metadata")
    return [
        Link(str(link["href"]).partition("#")[0], None, any(name in link for name in names))
        for link in page.found
        if link.get("href")
    ]


def _json_links(text: str) -> list[Link]:
    files: list[dict[str, Any]] = json.loads(text)["files"]
    return [
        Link(each["url"], each.get("size"), bool(each.get("core-metadata") or each.get("dist-info-metadata")))
        for each in files
    ]


def _version(href: str, asked: Requirement) -> Version | None:
    """The version of a wheel that fits here and is asked for."""
    try:
        name, version, _, tags = parse_wheel_filename(unquote(urlsplit(href).path).rpartition("/")[2])
    except ValueError:  # a source archive, or no package
        return None
    fits = name == canonicalize_name(asked.name) and not tags.isdisjoint(_HERE)
    return version if fits and asked.specifier.contains(version) else None


def _needs(wheel: Wheel, extras: set[str]) -> list[str] | None:
    """What a wheel needs here in exact versions; None where that cannot be known without fetching it."""
    if not wheel.described:
        return None
    try:
        with open_url(_request(f"{wheel.url}.metadata"), 60) as answer:
            lines = BytesHeaderParser().parse(answer).get_all("Requires-Dist") or []
            found = [Requirement(str(line)) for line in lines]
    except (OSError, HTTPException, ValueError):
        return None
    return [
        f"{need.name}{'[' + ','.join(need.extras) + ']' if need.extras else ''}{need.specifier}"
        for need in found
        if str(need.specifier).startswith("==")
        and (not need.marker or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)))
    ]


def _size(url: str) -> int | None:
    """Bytes at an address, by its head."""
    try:
        if urlsplit(url).scheme == "file":
            return Path(unquote(urlsplit(url).path)).stat().st_size
        with open_url(_request(url, "HEAD"), 60) as answer:
            length = answer.headers["Content-Length"]
    except (OSError, HTTPException, ValueError):
        return None
    return int(length) if str(length).isdecimal() else None


def _request(url: str, method: str = "GET", **headers: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310  # http(s), as was checked


if __name__ == "__main__":
    sys.exit(main())
