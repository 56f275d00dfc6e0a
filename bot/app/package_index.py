"""What a package index has for this Python and machine (PEP 503 and 691), and how large it is.

Runs before anything is installed: only the standard library and what pip brings along are imported.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from html.parser import HTMLParser
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.tags import sys_tags
from pip._vendor.packaging.utils import canonicalize_name, parse_wheel_filename
from pip._vendor.packaging.version import Version

from bot.app.proxies import open_url

_JSON = "application/vnd.pypi.simple.v1+json"
_PAGES = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_HERE = frozenset(sys_tags())


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


def find_wheel(index: str, requirement: str) -> Wheel:
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


def exact_needs(wheel: Wheel, extras: set[str]) -> list[str] | None:
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


def _size(url: str) -> int | None:
    """Bytes at an address, by its head."""
    try:
        with open_url(_request(url, "HEAD"), 60) as answer:
            length = answer.headers["Content-Length"]
    except (OSError, HTTPException, ValueError):
        return None
    return int(length) if str(length).isdecimal() else None


def _request(url: str, method: str = "GET", **headers: str) -> urllib.request.Request:
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310  # an index and its links
