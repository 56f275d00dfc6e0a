"""A role is one file; one that is not right is refused by file, key and mend. A tag picks a role."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.engine import Message
from bot.roles import Role, RoleError, load_role, load_roles, split_tag

LABELS = '[[labels]]\nname = "yes"\n[[labels]]\nname = "no"\n'


def load(directory: Path, content: str, name: str = "urgency.toml") -> Role:
    (directory / name).write_text(content, encoding="utf-8")
    return load_role(directory / name)


def test_the_roles_that_ship(roles: dict[str, Role]) -> None:
    assert [label.name for label in roles["emotion"].labels] == ["正面", "负面", "中性"]
    assert [label.name for label in roles["feelings"].labels] == [
        "喜悦", "愤怒", "悲伤", "恐惧", "惊讶", "厌恶", "中性",
    ]  # fmt: skip
    assert roles["chat"].sampling is not None
    assert not roles["chat"].classifies


def test_examples_come_before_the_conversation_and_are_shared(tmp_path: Path) -> None:
    role = load(
        tmp_path,
        'system = "Is it urgent?"\nask = "Text: {text}"\n'
        f'[[examples]]\ntext = "fire"\nanswer = "yes"\n{LABELS}',
    )
    prompt = role.prompt("{text} now", [Message("user", "before")])
    assert [message.content for message in prompt.messages] == [
        "Is it urgent?", "Text: fire", "yes", "before", "Text: {text} now",
    ]  # fmt: skip
    assert prompt.shared == 3


def test_a_label_without_spellings_is_spelt_as_named(tmp_path: Path) -> None:
    role = load(tmp_path, f'system = "x"\n{LABELS}')
    assert [label.spellings for label in role.labels] == [("yes",), ("no",)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("system = ", "not valid TOML"),
        (f'system = "x"\ncolour = "red"\n{LABELS}', "unknown key 'colour'"),
        (LABELS, "`system` must be the instructions"),
        (f'system = " "\n{LABELS}', "`system` must be the instructions"),
        ('system = "x"', "either"),
        (f'system = "x"\n{LABELS}[sampling]\n', "either"),
        (f'system = "x"\nask = "hello"\n{LABELS}', "must contain {text}"),
        ('system = "x"\n[[labels]]\nname = "yes"', "at least two labels"),
        ('system = "x"\n[[labels]]\nname = "a"\n[[labels]]\nname = "a"', "different names"),
        ('system = "x"\nlabels = ["yes", "no"]', "written as"),
        ('system = "x"\n[[labels]]\nemoji = "a"', "needs `name`"),
        (f'system = "x"\n{LABELS}spellings = "no"', "`spellings` of label 'no'"),
        (f'system = "x"\n{LABELS}spellings = []', "`spellings` of label 'no'"),
        (f'system = "x"\n{LABELS}colour = "red"', "unknown key 'colour' of label 'no'"),
        (f'system = "x"\n{LABELS}neutral = "yes"', "`neutral` true or false"),
        (f'system = "x"\n{LABELS}neutral = true', "not `neutral`"),
        (f'system = "x"\n{LABELS}sign = "good"', "`sign` of label 'no' must be"),
        (f'system = "x"\n{LABELS}sign = -1', "`sign` of label 'no' must be"),
        (f'system = "x"\n{LABELS}neutral = true\nsign = "negative"', "`neutral` and has a `sign`"),
        (f'options = {{}}\nsystem = "x"\n{LABELS}', "unknown key 'options'"),
        (f'system = "x"\n{LABELS}[[examples]]\ntext = "a"', "needs `text` and `answer`"),
        ('system = "x"\nsampling = 3', "must be a table"),
        ('system = "x"\n[sampling]\nheat = 1', "unknown sampling key 'heat'"),
        ('system = "x"\n[sampling]\ntop_k = true', "'top_k' must be a whole number from 0"),
        ('system = "x"\n[sampling]\nmax_tokens = "many"', "'max_tokens' must be a whole number from 1"),
        ('system = "x"\n[sampling]\nmax_tokens = 0', "'max_tokens' must be a whole number from 1"),
        ('system = "x"\n[sampling]\nmax_tokens = 9.5', "'max_tokens' must be a whole number from 1"),
        ('system = "x"\n[sampling]\ntemperature = -0.5', "'temperature' must be a number from 0 to 2"),
        ('system = "x"\n[sampling]\ntop_p = nan', "'top_p' must be a number from 0 to 1"),
        ('system = "x"\n[sampling]\nrepetition_penalty = 0', "must be a number from 0.1 to 10"),
        ('system = "x"\n[sampling]\nstop = [1]', "'stop' must be a list of texts"),
        ('system = "x"\n[sampling]\nstop = [""]', "'stop' must be a list of texts"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(RoleError) as refused:
        load(tmp_path, content)
    assert problem in str(refused.value)
    assert str(tmp_path / "urgency.toml") in str(refused.value)


def test_a_label_has_a_sign_where_the_file_gives_one(tmp_path: Path, roles: dict[str, Role]) -> None:
    role = load(
        tmp_path, f'system = "x"\n{LABELS}sign = "negative"\n[[labels]]\nname = "a"\nsign = "positive"'
    )
    assert [label.sign for label in role.labels] == [0, -1, 1]
    assert [label.sign for label in roles["emotion"].labels] == [1, -1, 0]
    assert [label.sign for label in roles["feelings"].labels] == [1, -1, -1, -1, 0, -1, 0]


def test_a_file_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoleError, match="file name"):
        load(tmp_path, f'system = "x"\n{LABELS}', "Not a name.toml")


def test_a_directory_without_roles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoleError, match="no role files"):
        load_roles(tmp_path)


@pytest.mark.parametrize(
    ("text", "mode", "rest"),
    [
        ("#EMOTION#今天太棒了！", "emotion", "今天太棒了！"),
        ("  #chat# hello", "chat", "hello"),
        ("＃EMOTION＃ 好", "emotion", "好"),
        ("#EMOTION#", "emotion", ""),
        ("say #CHAT# later", None, "say #CHAT# later"),
        ("#emotional# day", None, "#emotional# day"),
        ("#CHAT##EMOTION#x", "chat", "#EMOTION#x"),
    ],
)
def test_a_tag_at_the_start_picks_the_role(text: str, mode: str | None, rest: str) -> None:
    assert split_tag(text) == (mode, rest)
