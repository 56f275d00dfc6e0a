"""Ports that can be listened on."""

from __future__ import annotations

import socket

STEP, TRIES = 10, 20
HIGHEST = 65535


def bind_error(host: str, port: int) -> OSError | None:
    """What keeps this process from listening on `port` of `host` now; None where nothing does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        return problem
    return None


def is_free(host: str, port: int) -> bool:
    """Whether this process could listen on `port` of `host` now."""
    return bind_error(host, port) is None


def free_port(host: str, taken: int) -> int | None:
    """A port to take instead of `taken`, None where none was found.

    Not the next one: there a bot's sandbox listens. The one after it is free too, for this bot's.
    """
    for port in range(taken + STEP, min(taken + STEP * TRIES, HIGHEST - 1) + 1, STEP):
        if is_free(host, port) and is_free("127.0.0.1", port + 1):
            return port
    return None
