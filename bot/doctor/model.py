"""The model: there and whole, in which precision, and whether it fits the memory."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from bot.doctor.finding import Finding, broken, doubtful, fine
from bot.engine import EngineError
from bot.models import ModelError, check_model, find_model
from config.settings import Settings

BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int4": 0.63}  # a weight, scales included
OVERHEAD_MB = 400  # Python, torch, the database and the sockets


def examine(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the model, here or on another server."""
    if settings.llm_url:
        yield server(settings)
        return
    try:
        directory = find_model(settings)
        check_model(directory)
    except ModelError as problem:
        yield broken("model", str(problem))
        return
    yield from local(directory, settings)


def server(settings: Settings) -> Finding:
    """Whether the server at LLM_URL answers."""
    url = settings.llm_url.rstrip("/")
    headers = {"Authorization": f"Bearer {settings.llm_api_key}"} if settings.llm_api_key else {}
    request = urllib.request.Request(f"{url}/models", headers=headers)  # noqa: S310  # http(s) by settings
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # as above
            names = [str(each["id"]) for each in json.loads(answer.read(1 << 20))["data"]]
    except urllib.error.HTTPError as problem:
        mend = "set LLM_API_KEY" if problem.code in (401, 403) else "LLM_URL ends in /v1 for most servers"
        return broken("model", f"the server at LLM_URL answers {problem.code}", mend)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return broken(
            "model",
            f"no server answers at LLM_URL ({type(problem).__name__})",
            "start it, or correct LLM_URL",
        )
    if settings.llm_model and settings.llm_model not in names:
        return broken(
            "model", f"the server does not list {settings.llm_model}", f"it lists {', '.join(names)}"
        )
    return fine("model", f"{settings.llm_model or names[0]} at LLM_URL")


def local(directory: Path, settings: Settings) -> Iterator[Finding]:
    """The directory's shape, this processor's kernels, and the memory."""
    from bot.engine.linear import choices
    from bot.engine.shape import read_shape

    try:
        shape = read_shape(directory)
    except (EngineError, ValueError, KeyError) as problem:
        yield broken("model", str(problem), "use a Qwen2, Qwen3 or Llama model")
        return
    attention = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
    weights = shape.layers * (attention + 3 * shape.hidden * shape.mlp)
    weights += shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    yield fine(
        "model", f"{directory.name} ({shape.family}, {weights / 1e9:.2f} billion weights) in {directory}"
    )
    if not os.access(directory, os.W_OK):
        yield doubtful(
            "model", "its directory is read-only", "prepare it where it can be written, for a fast start"
        )
    chosen = settings.precision if settings.precision != "auto" else "int8"
    yield fine("precision", f"{settings.precision} is {chosen}: {choices()[chosen]}")
    needed = int(weights * BYTES[chosen] / 1e6) + settings.cache_mb + OVERHEAD_MB
    yield memory(needed, available(), chosen)


def memory(needed: int, there: int, chosen: str) -> Finding:
    """Whether the bot fits into the free memory, both in MB."""
    said = f"about {needed:,} MB needed in {chosen}, {there:,} MB free"
    if needed > there:
        mend = "close other programs" + (", or set PRECISION=int4" if chosen != "int4" else "")
        return broken("memory", said, mend)
    if needed > there * 0.85:
        return doubtful("memory", said, "that is tight; close other programs, or lower CACHE_MB")
    return fine("memory", said)


def available() -> int:
    """Free memory in MB, as far as this process may use it (cgroup limits of containers and systemd)."""
    free = psutil.virtual_memory().available
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text().strip()
        if limit.isdecimal():
            free = min(free, int(limit) - int((root / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no such limit here
    return int(free / 1e6)
