"""Prepared weights: a file beside the model that holds them quantized, read by memory map or by copy.

Written whole or not at all, and used only where it was made from these weights.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from bot.engine.config.arrays import StoredTensor
from bot.engine.config.precision import GGUF
from bot.engine.errors import EngineError
from bot.engine.weights.gguf_parts import gguf_parts
from bot.engine.weights.model_files import ModelFiles, beside, directory_of
from bot.engine.weights.parts import decoder_parts, part_sources
from bot.engine.weights.quantize import KeptPart, quantize_part
from bot.engine.weights.safetensors import SafetensorsFile, SafetensorsWriter

log = logging.getLogger(__name__)

VERSION = "3"
LOCK = ".prepare.lock"

Progress = Callable[[int, int], None]  # parts done, parts in all


class PreparedWeights:
    """The tensors of one file, a part at a time: they are named PART/NAME."""

    def __init__(self, file: Path) -> None:
        """Raises SafetensorsError or OSError for a file that is not whole."""
        self._file = SafetensorsFile(file)
        self.metadata = self._file.metadata

    @property
    def parts(self) -> list[str]:
        """The names of parts, in the order written."""
        return list(dict.fromkeys(name.rpartition("/")[0] for name in self._file.shapes))

    def part(self, name: str) -> dict[str, StoredTensor]:
        """A part's tensors by name, as views of the file."""
        prefix = name + "/"
        return {
            each[len(prefix) :]: self._file.get(each) for each in self._file.shapes if each.startswith(prefix)
        }


def prepared_file(directory: Path, precision: str) -> Path:
    """Where `prepare` puts the weights of one precision."""
    return beside(directory, f"prepared-{precision}.safetensors")


def open_prepared(directory: Path, precision: str) -> PreparedWeights | None:
    """The prepared weights, if there are any and they were made here from this checkpoint."""
    try:
        found = PreparedWeights(prepared_file(directory, precision))
    except (OSError, ValueError):
        return None
    wanted = _metadata(directory, precision)
    return found if found.metadata == wanted else None


def prepare(directory: Path, precision: str = "auto", progress: Progress | None = None) -> Path:
    """Write the weights of one precision and return the file. Raises EngineError for a bad directory,
    one that cannot be written to, and a full disk.

    Interrupted, it leaves at most a temporary file, which the next call removes. Where the file is
    there already and belongs to these weights, nothing is done. Of two calls at once, also from other
    processes, the second waits and finds the first one's file.
    """
    precision = ModelFiles(directory).choose_precision(precision)
    file = prepared_file(directory, precision)
    if open_prepared(directory, precision) is None:  # else the directory may be read-only
        with locked(directory):
            if open_prepared(directory, precision) is None:
                try:
                    _write(file, directory, precision, progress)
                except OSError as problem:
                    raise EngineError(
                        f"{file} cannot be written: {problem.strerror or problem}; "
                        "see that its directory has room and may be written to"
                    ) from problem
    return file


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Wait while another process prepares in `directory`, where the file system has locks."""
    # Not by the existence of the file: it stays, and is copied with the others.
    lock = FileLock(directory_of(directory) / LOCK, fallback_to_soft=False)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as problem:
        log.info("%s cannot be locked: %s", directory, problem)
    try:
        yield
    finally:
        lock.release()


def kept_parts(model: ModelFiles, precision: str) -> Iterator[tuple[str, KeptPart]]:
    """What a precision keeps of each part, made of the model's own files now. Raises EngineError."""
    config = model.config(precision)
    if precision == GGUF:
        yield from gguf_parts(model.gguf_checkpoint(), config)
        return
    for part in decoder_parts(model.checkpoint(), config):
        yield part.name, quantize_part(part, precision)


def _write(file: Path, directory: Path, precision: str, progress: Progress | None) -> None:
    model = ModelFiles(directory)
    total = sum(1 for _ in part_sources(model.checkpoint(), model.config()))
    with SafetensorsWriter(file, _metadata(directory, precision)) as writer:
        for done, (name, kept) in enumerate(kept_parts(model, precision), start=1):
            for tensor_name, tensor in kept.items():
                writer.add(f"{name}/{tensor_name}", tensor)
            if progress is not None:
                progress(done, total)


def _metadata(directory: Path, precision: str) -> dict[str, str]:
    """What prepared weights must say of themselves to be used: they are the same on every processor."""
    return {
        "version": VERSION,
        "precision": precision,
        "source": _fingerprint(ModelFiles(directory).originals()),
    }


def _fingerprint(files: Iterable[Path]) -> str:
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
