"""What the bot says, in the person's language: one file a language in this directory.

A new language is a new file, named by its code. What it does not translate is said in English.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STRINGS_DIRECTORY = Path(__file__).parent
DEFAULT = "en"


@lru_cache
def catalogue(directory: Path = STRINGS_DIRECTORY) -> dict[str, dict[str, str]]:
    """The strings of each language by key, under the language's code; English where one is missing."""
    written = {file.stem: _read(file) for file in sorted(directory.glob("*.toml"))}
    return {
        code: {**written[DEFAULT], "language_name": code, "language_tag": code, **texts}
        for code, texts in written.items()
    }


def language_of_locale(locale: str | None) -> str:
    """The catalogue's language for a locale such as `zh-CN` or `zh_CN.UTF-8`; English for one it has not."""
    code = re.split(r"[-_.@]", locale or DEFAULT)[0].lower()
    return code if code in catalogue() else DEFAULT


def language_of_terminal() -> str:
    """The catalogue's language for the locale that the environment names, as POSIX reads it."""
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return language_of_locale(next(filter(None, named), None))


def language_of_header(accept_language: str, directory: Path = STRINGS_DIRECTORY) -> str:
    """The catalogue's language that an Accept-Language header prefers; English when it names none."""
    best, best_quality = DEFAULT, 0.0
    for entry in accept_language.split(","):
        tag, _, parameter = entry.strip().partition(";q=")
        code = tag.split("-")[0].lower()
        try:
            quality = float(parameter) if parameter else 1.0
        except ValueError:
            continue
        if code in catalogue(directory) and quality > best_quality:
            best, best_quality = code, quality
    return best


class Strings:
    """One language's strings; English for a language without a file."""

    def __init__(self, language: str = DEFAULT, directory: Path = STRINGS_DIRECTORY) -> None:
        languages = catalogue(directory)
        self.language = language if language in languages else DEFAULT
        self._texts = languages[self.language]

    def __call__(self, key: str, **values: object) -> str:
        """The string `key` with its {names} filled in."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def starting_with(self, prefix: str) -> dict[str, str]:
        """Every string whose key begins with `prefix`, by key, its {names} not filled in."""
        return {key: text for key, text in self._texts.items() if key.startswith(prefix)}


def _read(file: Path) -> dict[str, str]:
    texts = tomllib.loads(file.read_text(encoding="utf-8"))
    return {key: text for key, text in texts.items() if text}
