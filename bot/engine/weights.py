"""The tensors of a checkpoint by name: safetensors (one file or several) or `pytorch_model.bin`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bot.engine.interface import EngineError
from bot.engine.shape import Shape
from bot.engine.tensors import Stored, TensorFile

EMBEDDING = "model.embed_tokens.weight"
_BAD = (ValueError, KeyError, TypeError, OSError)


class Checkpoint:
    """Tensors by name, views of the files. `files` are those that hold the weights."""

    def __init__(self, directory: Path) -> None:
        """Raises EngineError where there are no weights, or they cannot be read."""
        self._directory = directory
        self._open: dict[Path, TensorFile] = {}
        self._pickled: Mapping[str, Stored] | None = None
        index = directory / "model.safetensors.index.json"
        if (directory / "model.safetensors").is_file():
            self.files = [directory / "model.safetensors"]
            self._places = dict.fromkeys(self._file(self.files[0]).names, self.files[0])
        elif index.is_file():
            names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            self._places = {name: directory / file for name, file in names.items()}
            self.files = sorted(set(self._places.values()))
        elif (directory / "pytorch_model.bin").is_file():
            self.files = [directory / "pytorch_model.bin"]
            self._pickled = _unpickle(self.files[0])
            self._places = dict.fromkeys(self._pickled, self.files[0])
        else:
            raise EngineError(f"{directory} has no weights: model.safetensors or pytorch_model.bin")
        self._is_pickled = self._pickled is not None

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> Stored:
        """The tensor in the type it is stored in. Raises EngineError if it is not there."""
        if name not in self._places:
            raise EngineError(f"{self._directory}: the weights have no tensor {name!r}")
        file = self._places[name]
        if self._is_pickled:
            if self._pickled is None:
                self._pickled = _unpickle(file)
            return self._pickled[name]
        try:
            return self._file(file).get(name)
        except _BAD as problem:
            raise _unreadable(file, problem) from None

    def release(self) -> None:
        """Let go of a pickle's memory map, so that the pages read so far do not count as this process's."""
        self._pickled = None

    def _file(self, file: Path) -> TensorFile:
        if file not in self._open:
            try:
                self._open[file] = TensorFile(file)
            except _BAD as problem:
                raise _unreadable(file, problem) from None
        return self._open[file]


def head_name(checkpoint: Checkpoint, shape: Shape) -> str:
    """The checkpoint's tensor that makes logits."""
    return EMBEDDING if shape.tied or "lm_head.weight" not in checkpoint else "lm_head.weight"


def _unreadable(file: Path, problem: Exception) -> EngineError:
    return EngineError(f"{file} cannot be read, fetch it again: {problem}")


def _unpickle(file: Path) -> Mapping[str, Stored]:
    import torch  # read where it is used only

    from bot.engine.torch_tensors import as_stored

    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        return {name: as_stored(tensor) for name, tensor in found.items()}
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        raise _unreadable(file, problem) from None
