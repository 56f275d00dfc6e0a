"""Writes the weights of one precision beside their model (`prepared.py` reads them), whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from bot.engine.config.precision import GGUF, INT4
from bot.engine.errors import EngineError
from bot.engine.quantization.quantize import quantize_part
from bot.engine.weights.gguf_parts import gguf_parts
from bot.engine.weights.model_files import IN_INT4, ModelFiles, directory_of
from bot.engine.weights.parts import KeptPart, decoder_parts, part_sources
from bot.engine.weights.prepared import (
    int4_file,
    int4_metadata,
    kept_as,
    open_int4,
    open_prepared,
    prepared_file,
    prepared_metadata,
)
from bot.engine.weights.safetensors import write_safetensors

log = logging.getLogger(__name__)

LOCK = ".prepare.lock"

Progress = Callable[[int, int], None]  # parts done, parts in all


def prepare(directory: Path, precision: str = "auto", progress: Progress | None = None) -> Path:
    """Write the weights of one precision and return the file. Raises EngineError for a bad directory,
    one that cannot be written to, and a full disk.

    Interrupted, it leaves at most a temporary file, which the next call removes, and in int4 the whole
    GGUF file. Where the file is there already and belongs to these weights, nothing is done. Of two calls
    at once, also from other processes, the second waits and finds the first one's file.
    """
    precision = ModelFiles(directory).choose_precision(precision)
    file = prepared_file(directory, precision)
    if open_prepared(directory, precision) is not None:  # the directory may be read-only
        return file
    show, phases = progress or _nobody, 1
    if precision == INT4:
        phases = 2
        write_int4(directory, lambda done, total: show(done, 2 * total))
    path, kept = kept_as(directory, precision)
    with locked(directory), _writing(file):
        if open_prepared(directory, precision) is None:
            _write(file, path, kept, lambda done, total: show((phases - 1) * total + done, phases * total))
    return file


def write_int4(directory: Path, progress: Progress | None = None) -> ModelFiles:
    """The GGUF file that a model is in int4, written now where it is not there yet. Raises EngineError."""
    if (found := open_int4(directory)) is not None:
        return found
    file = int4_file(directory)
    with locked(directory), _writing(file):
        if open_int4(directory) is None:
            _export(directory, file, progress)
    return ModelFiles(file)


def int4_for_once(directory: Path) -> ModelFiles:
    """The same where nothing can be written beside the model: a file that is gone when it is let go."""
    with TemporaryDirectory() as folder:
        file = Path(folder, IN_INT4)
        _export(directory, file)
        found = ModelFiles(file)
        found.source.release()  # opened: it outlives its name
    return found


def _export(directory: Path, file: Path, progress: Progress | None = None) -> None:
    from bot.engine.quantization.gguf_export import write_gguf  # the library is slow to import

    log.info("writing %s in int4", file)
    write_gguf(ModelFiles(directory), file, int4_metadata(directory), progress or _nobody)


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


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise EngineError(
            f"{file} cannot be written: {problem.strerror or 'no space left'}; "
            "see that its directory has room and may be written to"
        ) from problem


def _nobody(done: int, total: int) -> None:
    """Shows no progress."""


def kept_parts(model: ModelFiles, precision: str) -> Iterator[tuple[str, KeptPart]]:
    """What a precision keeps of each part, made of the model's own files now. Raises EngineError.

    int4 is made of its GGUF file instead, as that file's own blocks.
    """
    config = model.config(precision)
    if precision == GGUF:
        yield from gguf_parts(model.gguf_checkpoint(), config)
        return
    for part in decoder_parts(model.checkpoint(), config):
        yield part.name, quantize_part(part, precision)


def _write(file: Path, path: Path, precision: str, progress: Progress) -> None:
    model = ModelFiles(path)
    total = sum(1 for _ in part_sources(model.checkpoint(), model.config()))
    with write_safetensors(file, prepared_metadata(path, precision)) as writer:
        for done, (name, kept) in enumerate(kept_parts(model, precision), start=1):
            for tensor_name, tensor in kept.items():
                writer.add(f"{name}/{tensor_name}", tensor)
            progress(done, total)
