"""Roles: what the one model is asked to be. Each is a file `config/roles/NAME.toml` and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
_LABEL = {"name", "emoji", "spellings", "english", "neutral"}
_SAMPLING = {
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "repetition_penalty": (int, float),
    "seed": int,
    "stop": list,
}


class RoleError(ValueError):
    """A role file that cannot be used; the message names the file, the key and the mend."""


@dataclass(frozen=True)
class Label:
    """One answer a classifying role can give. The model is scored on each of `spellings`.

    english: the name in explanations of English text. neutral: whether `strict` forbids it.
    """

    name: str
    emoji: str
    spellings: tuple[str, ...]
    english: str = ""
    neutral: bool = False


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
    options: Mapping[str, Any] = field(default_factory=dict)

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
    known = {"title", "system", "ask", "opening", "examples", "labels", "sampling", "options"}
    if unknown := sorted(set(found) - known):
        raise RoleError(f"{file}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
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
        options=found.get("options", {}),
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
    if unknown := sorted(set(entry) - _LABEL):
        raise RoleError(
            f"{file}: unknown key {unknown[0]!r} of label {name!r}; known are {', '.join(sorted(_LABEL))}"
        )
    english, neutral = entry.get("english", ""), entry.get("neutral", False)
    if not isinstance(english, str) or not isinstance(neutral, bool):
        raise RoleError(f"{file}: of label {name!r}, `english` is text and `neutral` true or false")
    if spellings is None:
        spellings = [name]
    if (
        not isinstance(spellings, list)
        or not spellings
        or not all(isinstance(s, str) and s for s in spellings)
    ):
        raise RoleError(f"{file}: `spellings` of label {name!r} must be a list of texts")
    return Label(name, emoji, tuple(spellings), english, neutral)


def _sampling(file: Path, table: Any) -> Sampling:
    if not isinstance(table, dict):
        raise RoleError(f"{file}: [sampling] must be a table")
    for key, value in table.items():
        if key not in _SAMPLING:
            raise RoleError(f"{file}: unknown sampling key {key!r}; known are {', '.join(_SAMPLING)}")
        if isinstance(value, bool) or not isinstance(value, _SAMPLING[key]):  # type: ignore[arg-type]  # a tuple works
            raise RoleError(f"{file}: sampling key {key!r} has the wrong type")
    values = dict(table)
    if "stop" in values:
        values["stop"] = tuple(str(text) for text in values["stop"])
    return Sampling(**values)
