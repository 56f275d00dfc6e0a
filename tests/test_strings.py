"""The catalogue of strings: complete in every language, all of it used, and nothing said outside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from config.settings import ROOT
from handlers.language import Words, catalogue, language_of

FILES = sorted((ROOT / "handlers").glob("*.py"))
LANGUAGES = sorted(catalogue())
# Nothing but signs and numbers: the same in every language.
SAME = {"mood_row"}
# Handler code that writes for developers and administrators, not for the people in Slack.
UNSEEN = {"connection.py", "manifest.py", "checking.py", "watchdog.py", "gaps.py"}
# What is understood, not said: words of commands, and the labels of the wire.
UNDERSTOOD = {"帮助", "忘记", "正面", "负面", "中性"}
SENTENCE = re.compile(r"[A-Za-z]{2,}[ ,…!?]+[a-z]{2,}|[\u4e00-\u9fff]{2,}")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """The syntax of every handler."""
    for file in FILES:
        yield file, ast.parse(file.read_text(encoding="utf-8"))


def constants(node: ast.AST) -> set[str]:
    """The texts in an expression, those of an f-string as a pattern."""
    joins = [joined for joined in ast.walk(node) if isinstance(joined, ast.JoinedStr)]
    inside = {part for joined in joins for part in joined.values}
    found = {
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in inside
    }
    for joined in joins:
        parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+" for p in joined.values]
        found.add("".join(parts))
    return found


def asked_for() -> set[str]:
    """Keys (or patterns of keys) given to `words(…)` and to what passes them on."""
    found: set[str] = set()
    for _, tree in trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "words":
                found |= {text for text in constants(call.args[0]) if re.fullmatch(r"[\w\\+]+", text)}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_asked_for_is_there(language: str) -> None:
    keys = catalogue()[language]
    asked = asked_for()
    assert len(asked) > 30
    missing = [key for key in asked if not any(re.fullmatch(key, known) for known in keys)]
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_complete_and_translated(language: str) -> None:
    english, other = catalogue()["en"], catalogue()[language]
    assert set(other) == set(english)
    assert all(text.strip() for text in other.values())
    if language != "en":
        assert {key for key in english if english[key] == other[key]} <= SAME


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_the_same(language: str) -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    english, other = catalogue()["en"], catalogue()[language]
    assert {k: names(v) for k, v in other.items()} == {k: names(v) for k, v in english.items()}


def test_no_key_is_unused() -> None:
    used = {text for _, tree in trees() for text in constants(tree)}
    patterns = [text for text in used if re.fullmatch(r"prompt_\\w\+\w*", text)]
    patterned = {key for key in catalogue()["en"] if any(re.fullmatch(pattern, key) for pattern in patterns)}
    assert set(catalogue()["en"]) - used - patterned == set()


def test_nothing_is_said_outside_the_catalogue() -> None:
    said = []
    for file, tree in trees():
        if file.name in UNSEEN:
            continue
        unseen = set()
        for node in ast.walk(tree):
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, documented) and ast.get_docstring(node) is not None:
                unseen.add(node.body[0])
            if isinstance(node, ast.Raise) or (
                isinstance(node, ast.Call) and re.match(r"(\w+\.)*(log|logger)\.", ast.unparse(node.func))
            ):
                unseen.add(node)
        hidden = {id(inner) for node in unseen for inner in ast.walk(node)}
        said += [
            f"{file.name}:{node.lineno}: {node.value!r}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in hidden and node.value not in UNDERSTOOD and SENTENCE.search(node.value)
        ]
    assert said == []


def test_the_language_is_slacks_or_english() -> None:
    assert language_of("zh-CN") == language_of("zh-TW") == "zh"
    assert language_of("fr-FR") == language_of(None) == "en"
    assert Words("zh")("queued", place=3) == "正忙，你排在第 3 位"
    assert Words("fr")("stopped") == "Stopped."
