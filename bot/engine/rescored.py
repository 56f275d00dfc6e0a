"""Logits of a head whose packed weights are only good for finding the likely tokens."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bot.engine.linear import Linear

_LIKELY = 64


class Rescored:
    """See Linear. The logits of the likeliest are computed again from `rows`, [vocabulary, hidden]."""

    def __init__(self, linear: Linear, rows: torch.Tensor) -> None:
        self._linear, self._rows = linear, rows

    def __call__(self, x: torch.Tensor, exact: bool = True) -> torch.Tensor:
        found = self._linear(x, exact)
        if len(self._rows) <= _LIKELY:
            return found
        likely = found.topk(_LIKELY, 1, sorted=False).indices
        again = torch.bmm(F.embedding(likely, self._rows).float(), x[:, :, None]).squeeze(2)
        return found.scatter_(1, likely, again)
