"""A process that somebody else watches: signals that stop it, and systemd's notifications."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import psutil

log = logging.getLogger(__name__)

GRACE = 14.5  # seconds; supervisors commonly kill after 15


def on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` at the first SIGTERM or SIGINT; leave after GRACE seconds, or at once at the second one."""
    loop = asyncio.get_running_loop()
    seen = False

    def stopping() -> None:
        nonlocal seen
        if seen:
            leave(1)
        seen = True
        log.info("stopping")
        notify("STOPPING=1")
        timer = threading.Timer(GRACE, lambda: leave(1))
        timer.daemon = True
        timer.start()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopping)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping))


async def unless(stop: asyncio.Event, work: Awaitable[object]) -> bool:
    """Do `work`, given up when `stop` is set; whether it was done. Raises what `work` raises."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:  # also where whoever waits is cancelled
        stopping.cancel()
        working.cancel()
        await asyncio.wait((working,))


def leave(code: int) -> None:
    """End the process without waiting for threads that are deep in the model's arithmetic."""
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def age() -> float:
    """Seconds since this process was started, imports included."""
    return max(0.0, time.time() - float(psutil.Process().create_time()))


def notify(state: str) -> None:
    """Tell systemd, where it listens (sd_notify): READY=1, WATCHDOG=1, STOPPING=1."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(state.encode())


async def keep_watchdog() -> None:
    """Tell systemd's watchdog, as often as it asks for, that the event loop still turns."""
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 1_000_000
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period / 2)
