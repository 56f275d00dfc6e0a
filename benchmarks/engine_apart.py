"""A contender in a process of its own.

OpenMP lets its workers sleep between products once a process has more of them than the machine has
cores, so contenders that share a process slow each other down.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class Apart:
    """Every method but `stop` is the contender's own, called over a pipe."""

    def __init__(self, make: Callable[..., Any], *arguments: object) -> None:
        """Blocking: it waits until the contender is there. Raises EOFError where it could not be made."""
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
        self._process.start()
        there.close()
        self.name: str = self._pipe.recv()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: object, **named: object) -> Any:
            self._pipe.send((method, arguments, named))
            return self._pipe.recv()

        return call

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    contender = make(*arguments)
    pipe.send(contender.name)
    while True:
        method, given, named = pipe.recv()
        pipe.send(getattr(contender, method)(*given, **named))
