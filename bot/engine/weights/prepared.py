"""Prepared weights: a file beside the model that holds them as the kernels read them, by memory map.

`prepare` writes it. It is used only where it was made from these weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from bot.engine.config.arrays import StoredTensor
from bot.engine.config.precision import GGUF, INT4
from bot.engine.errors import EngineError
from bot.engine.weights.model_files import IN_INT4, ModelFiles, beside
from bot.engine.weights.safetensors import SafetensorsFile

VERSION = "3"
# Raised where int4 rounds otherwise. Keys of the GGUF file that say what it was made of.
_INT4_VERSION = "1"
_INSIDE = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
MADE_BY, MADE_OF = "all_in_one_bot.version", "all_in_one_bot.source"


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


def kept_as(directory: Path, precision: str) -> tuple[Path, str]:
    """The model whose weights a precision has, and the precision there: int4 is a GGUF file's own blocks."""
    return (int4_file(directory), GGUF) if precision == INT4 else (directory, precision)


def int4_file(directory: Path) -> Path:
    """Where `prepare` puts the GGUF file that a model is in int4."""
    return beside(directory, IN_INT4)


def open_int4(directory: Path) -> ModelFiles | None:
    """That file, if it is there, whole, and was made from these weights."""
    found = ModelFiles(int4_file(directory))
    try:
        metadata = found.source.metadata
    except EngineError:
        return None
    wanted = int4_metadata(directory)
    return found if all(metadata.get(key) == value for key, value in wanted.items()) else None


def int4_metadata(directory: Path) -> dict[str, str]:
    """What the file must say of itself for that."""
    model = ModelFiles(directory)
    beside = [directory / name for name in _INSIDE] if model.gguf is None else []
    files = [*model.originals(), *(file for file in beside if file.is_file())]
    return {MADE_BY: _INT4_VERSION, MADE_OF: _fingerprint(files)}


def prepared_file(directory: Path, precision: str) -> Path:
    """Where `prepare` puts the weights of one precision."""
    path, kept = kept_as(directory, precision)
    return beside(path, f"prepared-{kept}.safetensors")


def open_prepared(directory: Path, precision: str) -> PreparedWeights | None:
    """The prepared weights, if there are any and they were made here from this checkpoint."""
    if precision == INT4 and open_int4(directory) is None:
        return None
    try:
        found = PreparedWeights(prepared_file(directory, precision))
    except (OSError, ValueError):
        return None
    return found if found.metadata == prepared_metadata(directory, precision) else None


def prepared_metadata(directory: Path, precision: str) -> dict[str, str]:
    """What prepared weights must say of themselves to be used: they are the same on every processor."""
    path, kept = kept_as(directory, precision)
    return {"version": VERSION, "precision": kept, "source": _fingerprint(ModelFiles(path).originals())}


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
