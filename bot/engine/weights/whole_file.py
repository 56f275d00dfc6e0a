"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A temporary path beside `file` to write to, which becomes `file` where no exception comes.

    What an interrupted call has left is removed first. Raises OSError.
    """
    for left in file.parent.glob(f".{glob.escape(file.name)}.*"):
        left.unlink(missing_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(file)
        with contextlib.suppress(OSError):  # not every file system can sync a directory
            _sync(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
