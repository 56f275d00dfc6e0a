"""Machine code kept beside this package, as Python keeps its own: written by `prepare`, else only read.

It is not kept beside the weights: a model directory may come from anybody.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from bot.engine.compiled import columns, kernels, layers, products, tiles, vectors

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PLACE = _HERE / "__pycache__"
_writing = threading.Event()


class _Place(_CacheLocator):
    """One directory; what is in it belongs to the sources as they are now, or is not used."""

    def ensure_cache_path(self) -> None:
        if _writing.is_set():
            _PLACE.mkdir(exist_ok=True)

    def get_cache_path(self) -> str:
        return str(_PLACE)

    def get_source_stamp(self) -> str:
        sources = (
            Path(str(module.__file__)) for module in (columns, vectors, tiles, kernels, products, layers)
        )
        return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()

    def get_disambiguator(self) -> str:
        return "kept"

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Place:
        return cls()


class _Code(CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012  numba's own name and type


class _Kept(FunctionCache):
    _impl_class = _Code

    def save_overload(self, signature: Any, data: Any) -> None:
        if _writing.is_set():
            super().save_overload(signature, data)


def use() -> None:
    """Have the kernels ready: from what is kept, or compiled where nothing is, or not for this processor."""
    if not isinstance(layers.work._cache, _Kept):
        layers.work._cache = _Kept(layers.work.py_func)
        began = time.perf_counter()
        layers.compile_all()
        if layers.work.stats.cache_misses:
            seconds = time.perf_counter() - began
            log.info("compiled in %.0f s; `python -m bot prepare` keeps that for the next start", seconds)


def keep() -> None:
    """Compile, and keep the result: some ten seconds, or nothing where it is kept already."""
    _writing.set()
    try:
        layers.work._cache = _Kept(layers.work.py_func)
        layers.work.overloads.clear()
        layers.compile_all()
    except OSError as problem:
        log.warning("compiled code cannot be kept in %s, so each start compiles: %s", _PLACE, problem)
    finally:
        _writing.clear()
