"""A file of prepared weights beside the model: written whole or not at all, read by memory map or by copy.

The format is safetensors (a length, a JSON header, bytes), so that other tools can look into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import torch

VERSION = "1"
_HEADER = 1 << 18  # bytes kept free for the header, which is known only at the end
_TYPES = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


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

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Append a tensor of one of the types of the format."""
        data = tensor.detach().contiguous().view(torch.uint8).numpy().reshape(-1).data
        self._header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
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
        """Raises ValueError or OSError for a file that is not whole."""
        self._file = file
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            if length > 1 << 24:
                raise ValueError(f"{file} is not a file of prepared weights")
            header = json.loads(content.read(length))
        self.metadata: dict[str, str] = header.pop("__metadata__", {})
        self._start = 8 + length
        self._places: dict[str, tuple[torch.dtype, list[int], int, int]] = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            self._places[name] = (_TYPES[entry["dtype"]], entry["shape"], begin, end)
        size = file.stat().st_size
        if self._start + max((end for *_, end in self._places.values()), default=0) != size:
            raise ValueError(f"{file} is cut off")
        self._map = torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8)

    @property
    def parts(self) -> list[str]:
        """The names of parts, in the order written: tensors are named PART/NAME."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self._places))

    def part(self, name: str, mapped: bool) -> dict[str, torch.Tensor]:
        """A part's tensors by name. `mapped`: as views of the memory map; else read into memory."""
        prefix = name + "/"
        return {
            each[len(prefix) :]: self._get(each, mapped) for each in self._places if each.startswith(prefix)
        }

    def _get(self, name: str, mapped: bool) -> torch.Tensor:
        dtype, shape, begin, end = self._places[name]
        if mapped and (self._start + begin) % dtype.itemsize == 0:
            return self._map[self._start + begin : self._start + end].view(dtype).view(shape)
        data = torch.empty(end - begin, dtype=torch.uint8)
        with self._file.open("rb", buffering=0) as content:
            content.seek(self._start + begin)
            into, at = data.numpy().data, 0
            while at < len(into) and (count := content.readinto(into[at:])):
                at += count
        return data.view(dtype).view(shape)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can; the file itself is synced
        number = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
