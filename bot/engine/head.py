"""From hidden states to logits, and from token ids to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bot.engine.tensors import Floats, Stored


class Head:
    """The vocabulary's side of the model.

    embedding, rows: [vocabulary, hidden] as the checkpoint's memory map has them, read a row at a time.
    project: hidden states [n, hidden] to the logits of all rows, [n, vocabulary].
    """

    def __init__(self, embedding: Stored, rows: Stored, project: Callable[[Floats], Floats]) -> None:
        self._embedding, self._rows, self._project = embedding, rows, project

    def embed(self, tokens: list[int]) -> Floats:
        """[tokens, hidden]."""
        return self._embedding.rows(tokens)

    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """[n, vocabulary], or [n, len(rows)] for the given rows alone, from the exact weights."""
        if rows is None:
            return self._project(hidden)
        # No product of matrices: so few rows are not worth waking the threads of numpy's library.
        found: Floats = np.einsum("nh,rh->nr", hidden, self._rows.rows(rows))
        return found
