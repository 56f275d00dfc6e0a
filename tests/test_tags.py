"""The tags at the start of a message."""

from __future__ import annotations

import pytest

from bot.tags import split_tag


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
def test_split_tag(text: str, mode: str | None, rest: str) -> None:
    assert split_tag(text) == (mode, rest)
