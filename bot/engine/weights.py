"""The tensors of a checkpoint by name: safetensors (one file or several) or `pytorch_model.bin`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from bot.engine.interface import EngineError


class Checkpoint:
    """Tensors by name, read through memory maps and one at a time; nothing is kept here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        self._pickled: Mapping[str, torch.Tensor] = {}
        index = directory / "model.safetensors.index.json"
        if (directory / "model.safetensors").is_file():
            file = directory / "model.safetensors"
            self._files = dict.fromkeys(self._reader(file).keys(), file)
        elif index.is_file():
            names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            self._files = {name: directory / file for name, file in names.items()}
        elif (directory / "pytorch_model.bin").is_file():
            self._pickled = _unpickle(directory / "pytorch_model.bin")
        else:
            raise EngineError(f"{directory} has no weights: model.safetensors or pytorch_model.bin")

    def __contains__(self, name: str) -> bool:
        return name in self._files or name in self._pickled

    def get(self, name: str) -> torch.Tensor:
        """The tensor in the type it is stored in. Raises EngineError if it is not there."""
        if name in self._pickled:
            return self._pickled[name]
        if name not in self._files:
            raise EngineError(f"{self._directory}: the weights have no tensor {name!r}")
        found: torch.Tensor = self._reader(self._files[name]).get_tensor(name)
        return found

    def _reader(self, file: Path) -> Any:
        if file not in self._open:
            try:
                self._open[file] = safe_open(file, framework="pt")
            except (SafetensorError, OSError) as problem:
                raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None
        return self._open[file]


def _unpickle(file: Path) -> Mapping[str, torch.Tensor]:
    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        raise EngineError(f"{file} cannot be read, fetch it again: {problem}") from None
    if not isinstance(found, dict):
        raise EngineError(f"{file} holds no tensors by name")
    return found
