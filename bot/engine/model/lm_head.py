"""The vocabulary's side of the model: token ids to embeddings, hidden states to logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bot.engine.config.arrays import Floats, Rows


class LMHead:
    """Embedding and LM head.

    embedding, rows: [vocab_size, hidden_size] as the checkpoint has them, read a row at a time.
    project: hidden states [n, hidden_size] to all logits, [n, vocab_size].
    """

    def __init__(self, embedding: Rows, rows: Rows, project: Callable[[Floats], Floats]) -> None:
        self._embedding, self._rows, self._project = embedding, rows, project

    def embed(self, tokens: list[int]) -> Floats:
        """[tokens, hidden_size]."""
        return self._embedding.rows(tokens)

    def logits(self, hidden: Floats, rows: Sequence[int] | None = None) -> Floats:
        """[n, vocab_size], or [n, len(rows)] for the given rows alone, from the unquantized weights."""
        if rows is None:
            return self._project(hidden)
        # No product of matrices: so few rows are not worth waking the threads of numpy's library.
        found: Floats = np.einsum("nh,rh->nr", hidden, self._rows.rows(rows))
        return found
