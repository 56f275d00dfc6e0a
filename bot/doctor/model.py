"""The model: there and whole, in which precision, and whether it fits the memory."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bot.app.proxies import open_url
from bot.doctor.findings import Finding, broken, doubtful, fine
from bot.engine import EngineError
from bot.engine.config import control_group
from bot.models import ModelError, check_model, find_model
from config.settings import LOOPBACK, Settings

# A weight, scales included; in int4 those of rows that have whole blocks of 256, and of others.
BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int4": 0.65}
SHORT_ROWS = 0.8
# Python, the database and the sockets; and torch, where it computes.
OVERHEAD_MB, TORCH_MB = 280, 240


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
        with open_url(request, 5) as answer:
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
    name = settings.llm_model or next(iter(names), "")
    if not name:
        return broken("model", "the server at LLM_URL lists no model", "load one there, or set LLM_MODEL")
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        return doubtful(
            "model",
            f"{name} at LLM_URL, to which texts travel unencrypted",
            "use https beyond a trusted network",
        )
    return fine("model", f"{name} at LLM_URL")


def local(directory: Path, settings: Settings) -> Iterator[Finding]:
    """The model's config, this processor's kernels, and the memory."""
    from bot.engine.config.precision import COMPILED, INT4
    from bot.engine.weights.model_files import ModelFiles, directory_of
    from bot.engine.weights.prepared import open_prepared

    try:
        model = ModelFiles(directory)
        config = model.config()
        chosen = model.choose_precision(settings.precision)
    except (EngineError, ValueError, KeyError) as problem:
        yield broken("model", str(problem), "use a Qwen2, Qwen3 or Llama model")
        return
    billions = config.num_parameters / 1e9
    said = f"{model.name} ({config.model_type}, {billions:.2f} billion weights) in {directory}"
    yield fine("model", said)
    yield fine("precision", f"{settings.precision} is {chosen}")
    if open_prepared(directory, chosen) is not None:
        yield fine("prepared", f"weights for {chosen} stand beside the model")
    elif os.access(directory_of(directory), os.W_OK):
        mend = f"run `python -m bot prepare --precision {chosen}`"
        yield doubtful("prepared", f"no weights for {chosen} yet, so that every start quantizes", mend)
    else:
        mend = "prepare it where it can be written, and copy it here"
        yield doubtful("prepared", f"no weights for {chosen}, and the directory is read-only", mend)
    own_blocks = model.gguf.stat().st_size if model.gguf is not None else 0
    each = SHORT_ROWS if chosen == INT4 and config.hidden_size % 256 else BYTES.get(chosen, 0.0)
    weights = config.num_parameters * each or own_blocks
    needed = int(weights / 1e6) + settings.cache_mb + OVERHEAD_MB
    needed += 0 if chosen in COMPILED else TORCH_MB
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
    """Free memory in MB, as far as this process may use it."""
    free, of_group = psutil.virtual_memory().available, control_group.free_memory()
    return int((free if of_group is None else min(free, of_group)) / 1e6)
