"""From hidden states to logits, and from token ids to embeddings."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bot.engine.linear import Linear

_RESCORED = 64


class Head:
    """The vocabulary's side of the model.

    embedding, rows: [vocabulary, hidden] as the checkpoint's memory map has them, read a row at a time.
    linear: the same `rows`, packed for multiplying by all of them.
    coarse: the packed ones are only good for finding the likely tokens; the logits of the likeliest
        are then computed again from `rows`.
    """

    def __init__(self, embedding: torch.Tensor, rows: torch.Tensor, linear: Linear, coarse: bool) -> None:
        self._embedding, self._rows, self._linear = embedding, rows, linear
        self._coarse = coarse and len(rows) > _RESCORED

    def embed(self, tokens: list[int]) -> torch.Tensor:
        """float32 [tokens, hidden]."""
        return F.embedding(torch.tensor(tokens), self._embedding).float()

    def logits(self, hidden: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """float32 [n, vocabulary], or [n, len(rows)] for the given rows alone, from the exact weights."""
        if rows is not None:
            return F.linear(hidden, F.embedding(rows, self._rows).float())
        found = self._linear(hidden)
        if self._coarse:
            likely = found.topk(_RESCORED, 1, sorted=False).indices
            exact = torch.bmm(F.embedding(likely, self._rows).float(), hidden[:, :, None]).squeeze(2)
            found.scatter_(1, likely, exact)
        return found
