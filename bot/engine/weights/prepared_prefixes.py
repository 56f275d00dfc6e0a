"""Prepared prefixes: keys and values of the roles' prompts, in a file beside the prepared weights.

They are what the prefill of these prompts gives, to the last bit, or they are not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bot.engine.config.arrays import Floats, StoredTensor
from bot.engine.weights.model_files import beside
from bot.engine.weights.prepared import kept_as
from bot.engine.weights.safetensors import SafetensorsFile, write_safetensors

# Raised where keys and values of the same weights and tokens come out otherwise.
VERSION = "1"


class PreparedPrefixes:
    """The prefixes of one file. Damaged ones are as if they were not there."""

    def __init__(self, file: Path, made_of: Mapping[str, str]) -> None:
        """`made_of`: what all prefixes there depend on but their tokens; a file of anything else has none."""
        self.belongs = False  # whether the file is there and was made of that
        self._sums: dict[str, str] = {}
        try:
            self._file = SafetensorsFile(file)
        except (OSError, ValueError):
            return
        self.belongs = self._file.metadata == {**made_of, "prefixes": VERSION}
        if self.belongs:
            self._sums = dict(name.split(".", 1) for name in self._file.shapes if "." in name)

    def holds(self, tokens: Sequence[int]) -> bool:
        """Whether there is a prefix of exactly these tokens."""
        return _tokens_sum(tokens) in self._sums

    def take(self, tokens: Sequence[int]) -> Floats | None:
        """Keys and values of exactly these tokens, once: what is dropped afterwards is computed again."""
        name = _tokens_sum(tokens)
        if (wanted := self._sums.pop(name, None)) is None:
            return None
        try:
            states: Floats = self._file.get(f"{name}.{wanted}", mapped=False).data
        except (OSError, ValueError):
            return None
        return states if _states_sum(states) == wanted else None


def prefixes_file(directory: Path, precision: str) -> Path:
    """Where the prefixes of one precision are."""
    path, kept = kept_as(directory, precision)
    return beside(path, f"prepared-{kept}.prefixes.safetensors")


def write_prefixes(
    file: Path, made_of: Mapping[str, str], prefixes: Mapping[tuple[int, ...], Floats]
) -> None:
    """Write the file, whole or not at all. Raises OSError.

    prefixes: for each one's tokens their states, as KVCache.gather gives them.
    """
    with write_safetensors(file, {**made_of, "prefixes": VERSION}) as writer:
        for tokens, states in prefixes.items():
            writer.add(f"{_tokens_sum(tokens)}.{_states_sum(states)}", StoredTensor(states, "F32"))


def _tokens_sum(tokens: Sequence[int]) -> str:
    return hashlib.sha256(np.array(tokens, "<i4").tobytes()).hexdigest()


def _states_sum(states: Floats) -> str:
    digest = hashlib.sha256(f"{states.dtype.str} {states.shape}".encode())
    digest.update(np.ascontiguousarray(states).data)
    return digest.hexdigest()
