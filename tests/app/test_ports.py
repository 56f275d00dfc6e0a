"""A port that is offered instead of a taken one can be listened on."""

from __future__ import annotations

import socket

from bot.app.ports import free_port, is_free


def listener(port: int = 0) -> socket.socket:
    """A socket that listens."""
    opened = socket.socket()
    opened.bind(("127.0.0.1", port))
    opened.listen()
    return opened


def test_a_port_that_is_listened_on_is_not_free() -> None:
    with listener() as taken:
        port = taken.getsockname()[1]
        assert not is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port)


def test_neither_a_taken_port_nor_one_before_a_taken_port_is_offered() -> None:
    first = free_port("127.0.0.1", 20000)
    assert first is not None
    with listener(first):
        second = free_port("127.0.0.1", 20000)
        assert second is not None
        assert second > first + 1
    with listener(first + 1):
        assert free_port("127.0.0.1", 20000) == second


def test_there_is_none_beyond_the_last_port_or_on_a_host_that_is_not_here() -> None:
    assert free_port("127.0.0.1", 65530) is None
    assert free_port("192.0.2.1", 8000) is None
