"""A file of prepared weights beside the model: written whole or not at all, read by memory map or by copy.

The format is safetensors, so that other tools can look into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from bot.engine import compiled
from bot.engine.shape import Shape, read_shape
from bot.engine.tensors import Stored, TensorFile
from bot.engine.weights import Checkpoint

VERSION = "1"
_HEADER = 1 << 18  # bytes kept free for the header, which is known only at the end


def fingerprint(files: Iterable[Path]) -> str:
    """Of the sizes and a sample of the contents: copying the files keeps it, writing others changes it."""
    digest = hashlib.sha256()
    for file in sorted(files):
        size = file.stat().st_size
        digest.update(f"{file.name} {size};".encode())
        with file.open("rb") as content:
            digest.update(content.read(1 << 20))
            for part in range(1, 65):
                content.seek(size * part // 65)
                digest.update(content.read(4096))
    return digest.hexdigest()


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Wait until nobody else prepares in `directory`, and keep others waiting until the end.

    The system frees the lock of a process that is killed. Where there are no locks, nobody waits.
    """
    number = None
    with contextlib.suppress(ImportError, OSError):  # not every system or network drive can
        import fcntl

        number = os.open(directory, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if number is not None:
            os.close(number)


class Writer:
    """Tensors one after the other into a temporary file that becomes `file` when all went well."""

    def __init__(self, file: Path, metadata: Mapping[str, str]) -> None:
        self._file = file
        self._temporary = file.with_name(f".{file.name}.{os.getpid()}")
        self._header: dict[str, object] = {"__metadata__": dict(metadata)}
        self._at = 0

    def __enter__(self) -> Writer:
        for left in self._file.parent.glob(f".{self._file.name}.*"):  # of one that was interrupted
            left.unlink(missing_ok=True)
        self._out = self._temporary.open("wb")
        self._out.seek(_HEADER)
        return self

    def add(self, name: str, tensor: Stored) -> None:
        """Append a tensor."""
        data = tensor.data.view(np.uint8).reshape(-1).data
        self._header[name] = {
            "dtype": tensor.type,
            "shape": list(tensor.data.shape),
            "data_offsets": [self._at, self._at + len(data)],
        }
        self._out.write(data)
        self._at += len(data)

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if problem is None:
                text = json.dumps(self._header).encode()
                if len(text) > _HEADER - 8:
                    raise ValueError(f"{self._file}: too many tensors for one header")
                self._out.seek(0)
                self._out.write((_HEADER - 8).to_bytes(8, "little") + text.ljust(_HEADER - 8))
                self._out.flush()
                os.fsync(self._out.fileno())
                self._out.close()
                self._temporary.replace(self._file)
                _sync_directory(self._file.parent)
        finally:
            self._out.close()
            self._temporary.unlink(missing_ok=True)


class PreparedFile:
    """The tensors of one file, a part at a time."""

    def __init__(self, file: Path) -> None:
        """Raises what TensorFile raises for a file that is not whole."""
        self._file = TensorFile(file)
        self.metadata = self._file.metadata

    @property
    def parts(self) -> list[str]:
        """The names of parts, in the order written: tensors are named PART/NAME."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self._file.names))

    def part(self, name: str, mapped: bool) -> dict[str, Stored]:
        """A part's tensors by name. `mapped`: as views of the file; else read into memory."""
        prefix = name + "/"
        return {
            each[len(prefix) :]: self._file.get(each, mapped)
            for each in self._file.names
            if each.startswith(prefix)
        }


def prepared_file(directory: Path, precision: str) -> Path:
    """Where `prepare` puts the weights of one precision."""
    return directory / f"prepared-{precision}.safetensors"


def open_prepared(directory: Path, precision: str) -> PreparedFile | None:
    """The file of prepared weights, if there is one and it was made here from these weights."""
    try:
        found = PreparedFile(prepared_file(directory, precision))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    wanted = metadata(directory, precision, read_shape(directory), Checkpoint(directory))
    return found if found.metadata == wanted else None


def metadata(directory: Path, precision: str, shape: Shape, checkpoint: Checkpoint) -> dict[str, str]:
    """What a file of prepared weights must say of itself to be used here."""
    return {
        "version": VERSION,
        "precision": precision,
        "source": fingerprint([directory / "config.json", *checkpoint.files]),
        "layout": _layout(shape, precision),
    }


def _layout(shape: Shape, precision: str) -> str:
    """A name for how this processor's kernels lay the weights out, where that differs."""
    if precision != "int4":
        return ""
    if compiled.suits(shape, precision):
        return "nibbles in words, head in int8"
    from bot.engine import int4  # torch is read where it is used only

    return int4.layout()


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can; the file itself is synced
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
