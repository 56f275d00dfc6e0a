"""Several token sequences with common beginnings, as one chunk for the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bot.engine.config.arrays import Mask


class TokenTree:
    """Paths that share their beginnings; each shared token is computed once.

    A node is its index in `tokens`. It attends to itself and the nodes above it, and to nothing else, so
    that a path is computed as if it were alone (tree attention).
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.depths: list[int] = []
        self._parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, path: Sequence[int], parent: int = -1) -> int:
        """The last node of `path` below `parent` (-1: at the top), with what of it is new."""
        for token in path:
            child = self._children.get((parent, token))
            if child is None:
                child = len(self.tokens)
                self._children[parent, token] = child
                self.tokens.append(token)
                self._parents.append(parent)
                self.depths.append(0 if parent < 0 else self.depths[parent] + 1)
            parent = child
        return parent

    @property
    def is_single_path(self) -> bool:
        """Whether nothing branches, so that the causal mask does."""
        return self.depths == list(range(len(self.tokens)))

    def mask(self) -> Mask:
        """[nodes, nodes]: which node (column) a node (row) attends to."""
        mask = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self._parents):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask
