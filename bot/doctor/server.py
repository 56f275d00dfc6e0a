"""What the bot serves with: the port, who may reach it, the roles, the database and its disk."""

from __future__ import annotations

import errno
import json
import urllib.request
from collections.abc import Iterator

from bot.app.ports import bind_error, free_port
from bot.app.proxies import open_url
from bot.doctor.findings import Finding, broken, fine
from bot.doctor.machine import disk
from bot.roles import RoleError, load_roles
from bot.storage import Storage, StorageError
from config.settings import Settings, SettingsError, check_exposure


def examine(settings: Settings) -> Iterator[Finding]:
    """What is to be said of roles, port, reach and disk."""
    try:
        yield fine("roles", ", ".join(load_roles()))
    except RoleError as problem:
        yield broken("roles", str(problem))
    yield port(settings)
    try:
        check_exposure(settings)
    except SettingsError as problem:
        yield broken("reach", str(problem))
    else:
        who = (
            "this machine alone"
            if settings.local
            else f"everyone who reaches {settings.host}, with API_TOKEN"
        )
        yield fine("reach", f"the page and API answer {who}")
    yield disk(settings)


def port(settings: Settings) -> Finding:
    """Whether the port can be listened on, or this very bot already does."""
    problem = bind_error(settings.host, settings.port)
    if problem is None:
        return fine("port", f"{settings.port} is free")
    if problem.errno == errno.EADDRINUSE and _is_bot(settings.port):
        return fine("port", f"{settings.port} is used by a bot that is running")
    free = free_port(settings.host, settings.port)
    return broken(
        "port",
        f"{settings.host} port {settings.port}: {problem.strerror}",
        f"stop what uses it, or set PORT={free}" if free else "correct HOST or PORT",
    )


async def database(settings: Settings) -> Finding:
    """Whether the database opens and takes a write."""
    try:
        storage = await Storage.open(settings.database_url)
    except StorageError as problem:
        return broken("database", str(problem), "correct DATABASE_URL, or what it points to")
    try:
        await storage.check()
    except StorageError as problem:
        return broken("database", str(problem), "see that the disk has room and the file may be written")
    finally:
        await storage.close()
    return fine("database", f"{settings.database_url.partition(':')[0].partition('+')[0]} takes writes")


def _is_bot(number: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{number}/readyz")
    try:
        with open_url(request, 2) as answer:
            return "parts" in json.loads(answer.read(10_000))
    except (OSError, ValueError):
        return False
