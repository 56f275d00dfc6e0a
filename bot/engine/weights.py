"""The tensors of a checkpoint by name: safetensors (one file or several) or `pytorch_model.bin`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from bot.engine.interface import EngineError


class Checkpoint:
    """Tensors by name, views of memory maps. `files` are those that hold the weights."""

    def __init__(self, directory: Path) -> None:
        """Raises EngineError where there are no weights, or they cannot be read."""
        self._directory = directory
        self._places: dict[str, Path] = {}
        self._pickled: Mapping[str, torch.Tensor] | None = None
        index = directory / "model.safetensors.index.json"
        if (directory / "model.safetensors").is_file():
            self.files = [directory / "model.safetensors"]
            self._places = dict.fromkeys(_names(self.files[0]), self.files[0])
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

    def get(self, name: str) -> torch.Tensor:
        """The tensor in the type it is stored in. Raises EngineError if it is not there."""
        if name not in self._places:
            raise EngineError(f"{self._directory}: the weights have no tensor {name!r}")
        file = self._places[name]
        if self._is_pickled:
            if self._pickled is None:
                self._pickled = _unpickle(file)
            return self._pickled[name]
        try:
            with safe_open(file, framework="pt") as tensors:  # mapped anew: pages go with the tensor
                found: torch.Tensor = tensors.get_tensor(name)
        except (SafetensorError, OSError) as problem:
            raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None
        return found

    def release(self) -> None:
        """Let go of the memory map, so that the pages read so far do not count as this process's."""
        self._pickled = None


def _names(file: Path) -> list[str]:
    try:
        with safe_open(file, framework="pt") as tensors:
            return list(tensors.keys())
    except (SafetensorError, OSError) as problem:
        raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None


def _unpickle(file: Path) -> Mapping[str, torch.Tensor]:
    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None
    if not isinstance(found, dict):
        raise EngineError(f"{file} holds no tensors by name")
    return found
