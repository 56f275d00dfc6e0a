"""What the C library does with memory that is freed, while many large blocks come and go."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 20
_USUAL = 32 << 20  # glibc's own upper limit for both, where larger blocks have been freed


@contextlib.contextmanager
def large_blocks_returned() -> Iterator[None]:
    """Give each large block back to the system when it is freed; afterwards only the largest.

    Each thread that packs weights would otherwise keep the room of their copies, 200 MB in all. Where
    the C library is not glibc nothing is changed.
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _USUAL)
        mallopt(_TRIM_THRESHOLD, 2 * _USUAL)


def _mallopt() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library.mallopt if hasattr(library, "gnu_get_libc_version") else None
