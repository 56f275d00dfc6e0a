"""Roles: what the one model is asked to be. Each is a file `config/roles/NAME.toml` and nothing else.

A person picks one with a tag, `#EMOTION#` or `#CHAT#`, at the start of a message.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.engine import Message, Prompt, Sampling
from config.settings import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES_DIRECTORY = ROOT / "config" / "roles"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TAG = re.compile(r"\s*[#＃](EMOTION|CHAT)[#＃]\s*", re.IGNORECASE)
_ROLE_KEYS = {"title", "system", "ask", "opening", "examples", "labels", "sampling"}
_LABEL_KEYS = {"name", "emoji", "spellings", "english", "neutral", "sign"}
_SIGNS = {"positive": 1, "negative": -1}
# Numbers of [sampling]: whether each is whole, and its bounds.
_SAMPLING_NUMBERS: dict[str, tuple[bool, float, float]] = {
    "max_tokens": (True, 1, 2**31),
    "temperature": (False, 0, 2),
    "top_p": (False, 0, 1),
    "top_k": (True, 0, 2**31),
    "repetition_penalty": (False, 0.1, 10),
    "seed": (True, -(2**63), 2**63 - 1),
}
_SAMPLING_KEYS = (*_SAMPLING_NUMBERS, "stop")


class RoleError(ValueError):
    """A role file that cannot be used; the message names the file, the key and the mend."""


@dataclass(frozen=True)
class Label:
    """One answer a classifying role can give. The model is scored on each of `spellings`.

    english: the name in explanations of English text. neutral: whether `strict` forbids it.
    sign: 1 for a positive label, -1 for a negative one, 0 for neither.
    """

    name: str
    emoji: str
    spellings: tuple[str, ...]
    english: str = ""
    neutral: bool = False
    sign: int = 0


@dataclass(frozen=True)
class Role:
    """One role. Either `labels` (scored) or `sampling` (generated) is set, never both."""

    name: str
    title: str
    system: str
    ask: str = "{text}"
    opening: str = ""
    examples: tuple[tuple[str, str], ...] = ()
    labels: tuple[Label, ...] = ()
    sampling: Sampling | None = None

    @property
    def classifies(self) -> bool:
        """Whether the role's answer is one of its labels."""
        return bool(self.labels)

    def prompt(self, text: str, history: Sequence[Message] = (), session: str | None = None) -> Prompt:
        """The prompt for one text: system, examples, then the conversation so far, then the text."""
        lead = [Message("system", self.system)] if self.system else []
        for example, answer in self.examples:
            lead += [Message("user", self._asked(example)), Message("assistant", self.opening + answer)]
        messages = (*lead, *history, Message("user", self._asked(text)))
        return Prompt(messages, shared=len(lead), opening=self.opening, session=session)

    def _asked(self, text: str) -> str:
        return self.ask.replace("{text}", text)


def split_tag(text: str) -> tuple[str | None, str]:
    """The tag's role (`emotion` or `chat`, None without a tag) and the text after it, stripped.

    Upper or lower case and full-width # count. Only the very start is looked at, and one tag is taken.
    """
    match = _TAG.match(text)
    if match is None:
        return None, text.strip()
    return match[1].lower(), text[match.end() :].strip()


def load_roles(directory: Path = ROLES_DIRECTORY) -> dict[str, Role]:
    """Every role in `directory` by name. Raises RoleError for the first file that is not right."""
    roles = {file.stem: load_role(file) for file in sorted(directory.glob("*.toml"))}
    if not roles:
        raise RoleError(f"{directory}: no role files (NAME.toml) found")
    return roles


def load_role(file: Path) -> Role:
    """The role in one file, checked."""
    if not _NAME.fullmatch(file.stem):
        raise RoleError(
            f"{file}: a role's file name is a-z, 0-9, _ and -, at most 32, and begins with a letter"
        )
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise RoleError(f"{file}: not valid TOML: {problem}") from None
    if unknown := sorted(set(found) - _ROLE_KEYS):
        raise RoleError(f"{file}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_ROLE_KEYS))}")
    system = found.get("system")
    if not isinstance(system, str) or not system.strip():
        raise RoleError(f"{file}: `system` must be the instructions, as text")
    if ("labels" in found) == ("sampling" in found):
        raise RoleError(f"{file}: give either [[labels]] (scored) or [sampling] (generated)")
    ask = found.get("ask", "{text}")
    if not isinstance(ask, str) or "{text}" not in ask:
        raise RoleError(f"{file}: `ask` must contain {{text}}")
    labels = tuple(_label(file, entry) for entry in _tables(file, found, "labels"))
    if "labels" in found and len({label.name for label in labels}) < max(2, len(labels)):
        raise RoleError(f"{file}: [[labels]] needs at least two labels with different names")
    if labels and sum(not label.neutral for label in labels) < 2:
        raise RoleError(f"{file}: [[labels]] needs at least two labels that are not `neutral`")
    return Role(
        name=file.stem,
        title=str(found.get("title", file.stem)),
        system=system.strip(),
        ask=ask,
        opening=str(found.get("opening", "")),
        examples=tuple(_example(file, entry) for entry in _tables(file, found, "examples")),
        labels=labels,
        sampling=_sampling(file, found["sampling"]) if "sampling" in found else None,
    )


def _tables(file: Path, found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    tables = found.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise RoleError(f"{file}: `{key}` must be written as [[{key}]] tables")
    return tables


def _example(file: Path, entry: Mapping[str, Any]) -> tuple[str, str]:
    text, answer = entry.get("text"), entry.get("answer")
    if not isinstance(text, str) or not isinstance(answer, str):
        raise RoleError(f"{file}: each of [[examples]] needs `text` and `answer`")
    return text, answer


def _label(file: Path, entry: Mapping[str, Any]) -> Label:
    name, emoji, spellings = entry.get("name"), entry.get("emoji", ""), entry.get("spellings")
    if not isinstance(name, str) or not name or not isinstance(emoji, str):
        raise RoleError(f"{file}: each of [[labels]] needs `name`, and `emoji` as text")
    if unknown := sorted(set(entry) - _LABEL_KEYS):
        raise RoleError(
            f"{file}: unknown key {unknown[0]!r} of label {name!r}; "
            f"known are {', '.join(sorted(_LABEL_KEYS))}"
        )
    english, neutral = entry.get("english", ""), entry.get("neutral", False)
    if not isinstance(english, str) or not isinstance(neutral, bool):
        raise RoleError(f"{file}: of label {name!r}, `english` is text and `neutral` true or false")
    sign = entry.get("sign")
    if sign is not None and (not isinstance(sign, str) or sign not in _SIGNS):
        raise RoleError(
            f'{file}: `sign` of label {name!r} must be "positive" or "negative"; leave it out for neither'
        )
    if sign is not None and neutral:
        raise RoleError(f"{file}: label {name!r} is `neutral` and has a `sign`: leave one of them out")
    if spellings is None:
        spellings = [name]
    if (
        not isinstance(spellings, list)
        or not spellings
        or not all(isinstance(s, str) and s for s in spellings)
    ):
        raise RoleError(f"{file}: `spellings` of label {name!r} must be a list of texts")
    return Label(name, emoji, tuple(spellings), english, neutral, _SIGNS.get(sign or "", 0))


def _sampling(file: Path, table: Any) -> Sampling:
    if not isinstance(table, dict):
        raise RoleError(f"{file}: [sampling] must be a table")
    for key, value in table.items():
        if key not in _SAMPLING_KEYS:
            raise RoleError(f"{file}: unknown sampling key {key!r}; known are {', '.join(_SAMPLING_KEYS)}")
        if key == "stop":
            if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
                raise RoleError(f"{file}: sampling key 'stop' must be a list of texts")
            continue
        whole, low, high = _SAMPLING_NUMBERS[key]
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise RoleError(f"{file}: sampling key {key!r} must be {kind} from {low} to {high}")
    return Sampling(**{**table, "stop": tuple(table.get("stop", ()))})
