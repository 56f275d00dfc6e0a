"""The catalogue of strings: complete in every language, all of it used, and nothing said outside it."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from bot.sandbox import page_api as sandbox_page
from bot.web import page as web_page
from config.settings import ROOT
from config.strings import (
    STRINGS_DIRECTORY,
    Strings,
    catalogue,
    language_of_header,
    language_of_locale,
    language_of_terminal,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CODE = [
    *sorted((ROOT / "handlers").rglob("*.py")),
    ROOT / "bot" / "emotion" / "sentences.py",
    ROOT / "bot" / "sandbox" / "driver.py",
]
# Each page's directory, and the keys that are sent to it.
PAGES = {
    web_page.DIRECTORY: set(web_page.page_strings(Strings())),
    sandbox_page.PAGE: set(sandbox_page.page_strings(Strings())),
}
WRITTEN = {
    file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in STRINGS_DIRECTORY.glob("*.toml")
}
ENGLISH = WRITTEN["en"]
LANGUAGES = sorted(WRITTEN)
# Shown in every language as it is, and so in English's file alone.
FIXED = {"emotion_line"}
# Names, signs and numbers: the same in every language.
SAME = {"mood_row", "page_part_slack"}
# Handler code that writes for developers and administrators, not for the people in Slack.
UNSEEN = {"slack_errors.py"}
# What is understood, not said: words of commands, and what Slack writes itself.
UNDERSTOOD = {"帮助", "忘记", "[no preview available]"}
SENTENCE = re.compile(r"[A-Za-z]{2,}[ ,…!?]+[a-z]{2,}|[\u4e00-\u9fff]{2,}")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """The syntax of all code that speaks."""
    for file in CODE:
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


def asked_by_code() -> set[str]:
    """Keys (or patterns of keys) given to `strings(…)`."""
    found: set[str] = set()
    for _, tree in trees():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "strings":
                found |= {text for text in constants(call.args[0]) if re.fullmatch(r"[\w\\+]+", text)}
    return found


def asked_by_page(page: Path) -> set[str]:
    """Keys (or patterns of keys) in a page's template and scripts."""
    template = (page / "index.html").read_text(encoding="utf-8")
    scripts = "".join(file.read_text(encoding="utf-8") for file in page.glob("*.js"))
    asked = re.findall(r"\bsay\(([\"`])(.+?)\1", scripts)
    return {
        *re.findall(r"\bstrings\.(\w+)", template),
        *(re.sub(r"\$\{.*?\}", r"\\w+", key) for _, key in asked),
    }


def missing(asked: set[str], keys: set[str]) -> list[str]:
    """The keys and patterns in `asked` that match none of `keys`."""
    return sorted(key for key in asked if not any(re.fullmatch(key, known) for known in keys))


def test_every_key_asked_for_is_there() -> None:
    assert len(asked_by_code()) > 30
    assert missing(asked_by_code(), set(ENGLISH)) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_key_asked_for_by_a_page_is_sent_to_it(page: Path) -> None:
    assert len(asked_by_page(page)) > 30
    assert missing(asked_by_page(page), PAGES[page]) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_complete_and_translated(language: str) -> None:
    texts = WRITTEN[language]
    assert all(text.strip() for text in texts.values())
    if language != "en":
        assert set(texts) == set(ENGLISH) - FIXED
        assert {key for key in texts if texts[key] == ENGLISH[key]} <= SAME


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_the_same(language: str) -> None:
    def names(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    for key, text in WRITTEN[language].items():
        assert names(text) == names(ENGLISH[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_marks_of_emphasis_and_code_stand_beside_half_width_characters(language: str) -> None:
    """Slack's mrkdwn knows them only there: at a line's ends, beside ASCII white space or punctuation."""
    data = re.compile(r"\{\w+\}")  # may be anything
    for key, text in WRITTEN[language].items():
        for line in data.sub("字", text).splitlines():
            spans = list(re.finditer(r"([*`])[^*`]+\1", line))
            assert len(re.findall(r"[*`]", line)) == 2 * len(spans), key
            for span in spans:
                outside = line[: span.start()][-1:] + line[span.end() :][:1]
                assert all(each.isascii() and not each.isalnum() for each in outside), (key, line)


def test_no_key_is_unused() -> None:
    used = {text for _, tree in trees() for text in constants(tree)}
    used |= {key for page in PAGES for key in asked_by_page(page)} | set(web_page.COMMON_STRINGS)
    patterns = [
        text for text in used if re.fullmatch(r"(prompt|page_part|page_failed|sandbox_failed)_\\w\+\w*", text)
    ]
    patterned = {key for key in ENGLISH if any(re.fullmatch(pattern, key) for pattern in patterns)}
    assert set(ENGLISH) - used - patterned == set()


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


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_said_on_a_page_outside_the_catalogue(page: Path) -> None:
    template = (page / "index.html").read_text(encoding="utf-8")
    assert re.sub(r"\{\{.*?\}\}|\{%.*?%\}|<[^>]*>|\s", "", template) == ""
    assert re.findall(r'(?:aria-label|title|alt|placeholder)="[^"{]+"', template) == []
    for file in page.glob("*.js"):
        script = re.sub(r"\$\{[^{}]*\}", "", file.read_text(encoding="utf-8"))
        assert re.findall(r'\b(?:text|label|title|placeholder|note)"?: ["`][^"`]*[a-z]', script) == [], (
            file.name
        )


def test_the_language_is_slacks_or_english() -> None:
    assert language_of_locale("zh-CN") == language_of_locale("zh-TW") == "zh"
    assert language_of_locale("zh_CN.UTF-8") == language_of_locale("zh") == "zh"
    assert language_of_locale("fr-FR") == language_of_locale(None) == "en"
    assert Strings("zh")("queued", place=3) == "正忙，你排在第 3 位"
    assert Strings("fr")("stopped") == "Stopped."


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN@pinyin", "LC_ALL": ""}, "zh"),
        ({}, "en"),
    ],
)
def test_a_terminals_language_is_its_locales(
    environment: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language_of_terminal() == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr,en;q=0.5,zh;q=0.6", "zh"),
        ("en-GB", "en"),
        ("de", "en"),
        ("", "en"),
        ("zh;q=x, ;;,", "en"),
    ],
)
def test_the_language_is_the_one_the_browser_prefers(header: str, language: str) -> None:
    assert language_of_header(header) == language


def test_a_new_language_is_one_file_and_what_it_lacks_is_said_in_english(tmp_path: Path) -> None:
    directory = tmp_path / "strings"
    shutil.copytree(STRINGS_DIRECTORY, directory)
    (directory / "fr.toml").write_text('stopped = "Arrêté."\nfailed = ""\n', encoding="utf-8")
    strings = Strings("fr", directory)
    assert (strings("stopped"), strings("failed")) == ("Arrêté.", ENGLISH["failed"])
    assert strings("queued", place=3) == "is busy: place 3 in the queue"
    assert language_of_header("fr-CA, en;q=0.5", directory) == "fr"
    assert set(catalogue(directory)["fr"]) == set(ENGLISH)
    assert catalogue(directory)["fr"]["language_name"] == "fr"
