"""What the bot says, in the person's language: the catalogue under `config/strings`, one file a language."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from config.settings import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STRINGS = ROOT / "config" / "strings"
DEFAULT = "en"


@lru_cache(maxsize=1)
def catalogue(directory: Path = STRINGS) -> dict[str, dict[str, str]]:
    """Every language's strings by key."""
    files = sorted(directory.glob("*.toml"))
    return {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def language_of(locale: str | None) -> str:
    """The catalogue's language for a Slack locale such as `zh-CN`; English for one it has not."""
    code = (locale or DEFAULT).split("-")[0].lower()
    return code if code in catalogue() else DEFAULT


class Words:
    """One language's strings."""

    def __init__(self, language: str = DEFAULT) -> None:
        self.language = language if language in catalogue() else DEFAULT

    def __call__(self, key: str, **values: object) -> str:
        """The string `key` with its {names} filled in; English where it is not translated."""
        strings = catalogue()
        text = strings[self.language].get(key) or strings[DEFAULT][key]
        return text.format(**values) if values else text
