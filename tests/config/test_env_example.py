"""`.env.example` and the settings are one list."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from config.settings import ROOT, Settings, load

LINES = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
SHOWN = {match[1]: match[2] for line in LINES if (match := re.fullmatch(r"# ([A-Z][A-Z_]+)=(.*)", line))}
KNOWN = {field.name.upper(): getattr(Settings(), field.name) for field in fields(Settings)}


def test_every_variable_is_explained_and_no_other() -> None:
    assert sorted(SHOWN) == sorted(KNOWN)
    for name in SHOWN:
        above = LINES[LINES.index(f"# {name}={SHOWN[name]}") - 1]
        assert above.startswith("# ") or name == "PORT", f"{name} has no explanation above it"


@pytest.mark.parametrize("name", [name for name, value in KNOWN.items() if value not in ("", None, ())])
def test_what_is_shown_of_a_variable_with_a_default_is_the_default(name: str) -> None:
    assert getattr(load({name: SHOWN[name]}, dotenv=None), name.lower()) == KNOWN[name]


def test_the_examples_can_be_taken_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("\n".join(f"{name}={value}" for name, value in SHOWN.items()), encoding="utf-8")
    settings = load({}, dotenv=file)
    assert settings.slack_configured
    assert settings.allowed_channels == ("C0123456789", "C0987654321")
