"""What stands at a model's path: a directory as the hub has them, a GGUF file, or a directory that holds one.

Weights, prefixes and a calibration made from a model stand beside it: in its directory, and for a GGUF file
that was named itself under its stem, so that two files of one directory do not mix.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

from bot.engine.config.model_config import ModelConfig, read_model_config
from bot.engine.config.precision import GGUF, INT4, choose_precision
from bot.engine.errors import EngineError
from bot.engine.weights.checkpoint import Checkpoint, Tensors
from bot.engine.weights.gguf import GGUFError, GGUFFile
from bot.engine.weights.gguf_checkpoint import GGUFCheckpoint
from bot.engine.weights.gguf_config import read_gguf_config
from bot.engine.weights.gguf_parts import other_formats

CONFIG, SUFFIX = "config.json", ".gguf"
IN_INT4 = f"prepared-int4{SUFFIX}"  # beside the model that it was made of
_IN_4_BITS = (2, 14, 15)  # file types of GGUF: Q4_0, Q4_K_S, Q4_K_M
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")

# Open files by path, size and time of change: the vocabulary is read once for all who need it at one time,
# and not kept when nobody does.
_opened: WeakValueDictionary[tuple[Path, int, int], GGUFFile] = WeakValueDictionary()


class ModelFiles:
    """The files of one model. path: what was named. gguf: the GGUF file; None: a directory of the hub."""

    def __init__(self, path: Path) -> None:
        """Raises EngineError for several GGUF files and for a part of one."""
        self.path = path
        self.gguf = _find_gguf(path)

    @property
    def name(self) -> str:
        """What the model is called."""
        resolved = self.path.resolve()
        return resolved.name.removesuffix(SUFFIX) if self.gguf == self.path else resolved.name

    @cached_property
    def source(self) -> GGUFFile:
        """The open GGUF file. Raises GGUFError."""
        if self.gguf is None:
            raise GGUFError(f"{self.path} holds no GGUF file: give one")
        return _open(self.gguf)

    def config(self, precision: str = "") -> ModelConfig:
        """The config for weights of a precision: in the hub's order, but for a file's own blocks.

        Raises EngineError.
        """
        if self.gguf is None:
            return read_model_config(self.path)
        found = read_gguf_config(self.source)
        return found if precision == GGUF else replace(found, rope_adjacent=False)

    def choose_precision(self, named: str) -> str:
        """See `precision.choose_precision`. Raises EngineError."""
        has_blocks = self.gguf is not None and not other_formats(self.gguf_checkpoint(), self.config())
        if named == INT4 and has_blocks and self.source.metadata.get("general.file_type") in _IN_4_BITS:
            return GGUF  # its own: they would be rounded a second time
        return choose_precision(named, self.config(), has_blocks)

    def checkpoint(self) -> Tensors:
        """The tensors by the hub's names. Raises EngineError."""
        if self.gguf is None:
            return Checkpoint(self.path)
        return self.gguf_checkpoint()

    def gguf_checkpoint(self) -> GGUFCheckpoint:
        """As `checkpoint`, of a GGUF file."""
        return GGUFCheckpoint(self.source, read_gguf_config(self.source))

    def originals(self) -> list[Path]:
        """The files that say which model it is: its config and its weights. Raises EngineError."""
        if self.gguf is not None:
            return [self.gguf]
        return [self.path / CONFIG, *Checkpoint(self.path).files]


def beside(path: Path, name: str) -> Path:
    """Where a file called `name` that was made from the model at `path` stands."""
    return path.with_name(f"{path.stem}.{name}") if _is_file(path) else path / name


def directory_of(path: Path) -> Path:
    """The directory that holds the model at `path`."""
    return path.parent if _is_file(path) else path


def _is_file(path: Path) -> bool:
    return path.suffix == SUFFIX and not path.is_dir()


def _find_gguf(path: Path) -> Path | None:
    if not _is_file(path) and (path / CONFIG).exists():
        return None
    there = [path] if _is_file(path) else sorted(path.glob(f"*{SUFFIX}"))
    if not (found := [file for file in there if not file.name.endswith(IN_INT4)] or there):
        return None
    if split := _SPLIT.search(found[0].name):
        told = f"{found[0]} is one of {int(split[1])} parts of a model"
        raise EngineError(f"{told}: join them with `llama-gguf-split --merge`")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise EngineError(f"{path} holds {len(found)} GGUF files ({names}): name one of them as the model")
    return found[0]


def _open(file: Path) -> GGUFFile:
    try:
        about = file.stat()
    except OSError as problem:
        raise GGUFError(f"{file} cannot be read ({problem.strerror}): correct its path or mode") from None
    key = file.resolve(), about.st_size, about.st_mtime_ns
    if (found := _opened.get(key)) is None:
        found = _opened[key] = GGUFFile(file)
        if str(found.metadata.get("split.count", 0)) not in ("0", "1"):
            raise GGUFError(f"{file} is one part of a model: join them with `llama-gguf-split --merge`")
    return found
