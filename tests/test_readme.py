"""What README and the pages in docs name is there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from bot.cli.options import COMMANDS
from bot.engine import Sampling
from bot.roles import load_role
from config.settings import ROOT, Settings

READMES = (ROOT / "README.md", ROOT / "README.zh.md")
PAGES = (*READMES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
CODE = re.compile(r"^```.*?^```|^(?: {4}|\t).*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def links(page: Path) -> list[str]:
    """Where the links and pictures of `page` lead."""
    return LINK.findall(CODE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The names that a page's headings can be linked by."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether a link to a file, or to a heading, finds it; links to other hosts are not followed."""
    parts = urlsplit(link)
    if parts.scheme:
        return True
    target = page.parent / unquote(parts.path) if parts.path else page
    if not target.exists():
        return False
    return not parts.fragment or target.suffix != ".md" or unquote(parts.fragment) in anchors(target)


@pytest.mark.parametrize("readme", READMES, ids=lambda page: page.name)
def test_every_command_is_named_in_readme(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"python -m bot {name}" not in text and f"**{name}**" not in text]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_something(page: Path) -> None:
    assert not [link for link in links(page) if not leads_somewhere(page, link)]


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    drawn = [file for file in (ROOT / "docs").rglob("*") if file.suffix in (".png", ".svg")]
    assert drawn
    assert not [file.name for file in drawn if file.resolve() not in shown]


def test_the_readmes_link_to_each_other() -> None:
    assert "README.zh.md" in links(READMES[0])
    assert "README.md" in links(READMES[1])


@pytest.mark.parametrize("readme", READMES, ids=lambda page: page.name)
def test_the_roles_shown_in_readme_are_roles(readme: Path, tmp_path: Path) -> None:
    shown = re.findall(r"^```toml\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown
    for number, text in enumerate(shown):
        file = tmp_path / f"role{number}.toml"
        file.write_text(text, encoding="utf-8")
        role = load_role(file)
        assert role.classifies or isinstance(role.sampling, Sampling)


@pytest.mark.parametrize("readme", READMES, ids=lambda page: page.name)
def test_every_make_target_and_variable_named_in_readme_is_one(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make (\w+)", text, re.MULTILINE))
    assert {"run", "test"} <= named <= targets
    variables = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", text))
    others = {"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "WITHOUT_KERNELS", "TEST_POSTGRES_URL"}
    known = {field.name.upper() for field in fields(Settings)} | others
    assert {"API_TOKEN"} <= variables <= known
