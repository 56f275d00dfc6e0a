"""The tensors of a checkpoint by name: safetensors (one file or several) or `pytorch_model.bin`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bot.engine.config.arrays import Rows, StoredTensor
from bot.engine.config.model_config import ModelConfig
from bot.engine.config.torch_needs import require_torch
from bot.engine.errors import EngineError
from bot.engine.weights.safetensors import SafetensorsFile

SAFETENSORS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
EMBEDDING = "model.embed_tokens.weight"


class Tensors(Protocol):
    """What weights are made of, whatever files hold them."""

    def __contains__(self, name: str) -> bool: ...

    def get(self, name: str) -> StoredTensor:
        """The tensor with the hub's name. Raises EngineError if it is not there."""
        ...

    def rows_of(self, name: str) -> Rows:
        """A matrix of which some rows are read at a time. Raises EngineError if it is not there."""
        ...

    def release(self) -> None:
        """Let go of what was kept of the tensors read so far."""


class Checkpoint:
    """Tensors by name, views of the files. `files` are those that hold the weights."""

    def __init__(self, directory: Path) -> None:
        """Raises EngineError where there are no weights, or they cannot be read."""
        self._directory = directory
        self._open: dict[Path, SafetensorsFile] = {}
        self._pickled: Mapping[str, StoredTensor] | None = None
        if (directory / SAFETENSORS).is_file():
            self.files = [directory / SAFETENSORS]
            self._places = dict.fromkeys(self._file(self.files[0]).shapes, self.files[0])
        elif (directory / INDEX).is_file():
            names = json.loads((directory / INDEX).read_text(encoding="utf-8"))["weight_map"]
            self._places = {name: directory / file for name, file in names.items()}
            self.files = sorted(set(self._places.values()))
        elif (directory / PICKLE).is_file():
            self.files = [directory / PICKLE]
            self._pickled = _unpickle(self.files[0])
            self._places = dict.fromkeys(self._pickled, self.files[0])
        else:
            raise EngineError(f"{directory} has no weights: {SAFETENSORS} or {PICKLE}")
        self._is_pickled = self._pickled is not None

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> StoredTensor:
        """The tensor in the dtype it is stored in. Raises EngineError if it is not there."""
        if name not in self._places:
            raise EngineError(f"{self._directory}: the weights have no tensor {name!r}")
        file = self._places[name]
        if self._is_pickled:
            if self._pickled is None:
                self._pickled = _unpickle(file)
            return self._pickled[name]
        try:
            return self._file(file).get(name)
        except (ValueError, KeyError, OSError) as problem:
            raise _unreadable(file, problem) from None

    def rows_of(self, name: str) -> Rows:
        """A matrix of which some rows are read at a time. Raises EngineError if it is not there."""
        if self._is_pickled or name not in self._places:
            return self.get(name)
        file = self._places[name]
        try:
            return self._file(file).rows_of(name)
        except (ValueError, KeyError, OSError) as problem:
            raise _unreadable(file, problem) from None

    def release(self) -> None:
        """Let go of a pickle's memory map, so that the pages read so far do not count as this process's."""
        self._pickled = None

    def _file(self, file: Path) -> SafetensorsFile:
        if file not in self._open:
            try:
                self._open[file] = SafetensorsFile(file)
            except (ValueError, OSError) as problem:
                raise _unreadable(file, problem) from None
        return self._open[file]


def lm_head_name(checkpoint: Tensors, config: ModelConfig) -> str:
    """The checkpoint's tensor that makes logits."""
    tied = config.tie_word_embeddings or "lm_head.weight" not in checkpoint
    return EMBEDDING if tied else "lm_head.weight"


def _unreadable(file: Path, problem: Exception) -> EngineError:
    return EngineError(f"{file} cannot be read, fetch it again: {problem}")


def _unpickle(file: Path) -> Mapping[str, StoredTensor]:
    require_torch(f"{file.name} can be read by it alone; use a model with {SAFETENSORS}")
    import torch  # imported where it is used only

    from bot.engine.weights.torch_tensors import from_torch

    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        return {name: from_torch(tensor) for name, tensor in found.items()}
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None
