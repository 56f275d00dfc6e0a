"""The names and shapes of the tensors in a model directory, read without the tensors themselves.

A file that is shorter than it says, damaged where its contents are listed, or holds code is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bot.models.errors import ModelError

SAFETENSORS, INDEX, PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"
_LENGTH = 8  # bytes of the header's length at the start of a safetensors file
_AGAIN = "put the model's own file there again, or run `python -m bot fetch`"

Shapes = dict[str, tuple[int, ...]]


def stored_shapes(directory: Path) -> tuple[Path, Shapes]:
    """The file that was read (an index, where the weights are in several) and its shapes by name.

    The first of model.safetensors, its index and pytorch_model.bin that is there counts, as in
    the engine. Raises ModelError naming the file.
    """
    if (directory / SAFETENSORS).is_file():
        return directory / SAFETENSORS, _read_safetensors(directory / SAFETENSORS)
    if (directory / INDEX).is_file():
        return directory / INDEX, _read_shards(directory / INDEX)
    if (directory / PICKLE).is_file():
        return directory / PICKLE, _read_pickle(directory / PICKLE)
    raise ModelError(f"{directory} has no weights: put {SAFETENSORS} or {PICKLE} there")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a model. Raises ModelError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{file} is missing: {_AGAIN}") from None
    except (OSError, ValueError) as problem:
        raise ModelError(f"{file} is damaged ({problem}): {_AGAIN}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{file} does not hold a JSON object: {_AGAIN}")
    return found


def _read_safetensors(file: Path) -> Shapes:
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH), "little")
        if size < _LENGTH or length > size - _LENGTH:
            raise ModelError(f"{file} is cut short or is not a safetensors file: {_AGAIN}")
        try:
            header = json.loads(opened.read(length))
            header.pop("__metadata__", None)
            shapes = {name: tuple(tensor["shape"]) for name, tensor in header.items()}
            end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise ModelError(f"{file} is damaged, its list of tensors cannot be read: {_AGAIN}") from None
    if size != (whole := _LENGTH + length + end):
        raise ModelError(f"{file} has {size} bytes where its list of tensors needs {whole}: {_AGAIN}")
    return shapes


def _read_shards(index: Path) -> Shapes:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ModelError(f"{index} has no weight_map: {_AGAIN}")
    shapes: Shapes = {}
    for name in sorted(set(places.values())):
        shard = index.parent / name
        if Path(name).name != name or not shard.is_file():
            raise ModelError(f"{shard} is missing, which {index.name} names: {_AGAIN}")
        found = _read_safetensors(shard)
        if lost := {tensor for tensor, place in places.items() if place == name} - found.keys():
            raise ModelError(f"{shard} has no tensor {min(lost)}, which {index.name} places there: {_AGAIN}")
        shapes.update(found)
    return shapes


def _read_pickle(file: Path) -> Shapes:
    """torch's own restricted reading: only tensors come out, and the numbers stay in the file."""
    import torch

    try:
        found = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as problem:  # torch names a bad file in many ways; each is the file's fault
        if code := re.search(r"(?i)unsupported (?:global: )?global ([\w.]+)", str(problem)):
            raise ModelError(
                f"{file} holds code ({code[1]}) and not only tensors: it is not opened; "
                f"use the model's {SAFETENSORS} instead"
            ) from None
        raise ModelError(f"{file} is cut short or damaged: {_AGAIN}") from None
    if not isinstance(found, dict) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise ModelError(f"{file} does not hold tensors by name: use the model's {SAFETENSORS} instead")
    return {str(name): tuple(tensor.shape) for name, tensor in found.items()}
