"""Biases and a temperature fitted to labelled rows, by maximum likelihood; every label weighs the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bot.emotion.calibration import Calibration

STEPS = 200
_RIDGE = 1e-4  # keeps the scale finite where the rows can be told apart without an error


def fit(scores: Sequence[Sequence[float]], labels: Sequence[int], base: Calibration) -> Calibration:
    """The calibration that makes `labels` (places of the right ones) likeliest, given `scores`.

    Labels that no row has are left out of the comparison; they keep their distance from the
    others in `base`. Raises ValueError for fewer than two labels.
    """
    present = sorted(set(labels))
    if len(present) < 2:
        raise ValueError("rows of at least two labels are needed")
    x = torch.tensor([[row[at] for at in present] for row in scores], dtype=torch.float64)
    y = torch.tensor([present.index(label) for label in labels])
    share = torch.bincount(y, minlength=len(present)).double()
    weights = (1.0 / share)[y] / len(present)
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(len(present), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_scale, offsets], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (x + offsets) * log_scale.exp()
        miss = torch.nn.functional.cross_entropy(logits, y, reduction="none")
        value = (miss * weights).sum() + _RIDGE * (log_scale**2 + (offsets**2).mean())
        value.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch has no type for it
    fitted = dict(zip(present, (offsets - offsets.mean()).tolist(), strict=True))
    known = sum(base.biases[at] for at in present) / len(present)
    biases = tuple(fitted.get(at, bias - known) for at, bias in enumerate(base.biases))
    return Calibration(biases, 1.0 / log_scale.exp().item())
