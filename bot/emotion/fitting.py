"""Biases and a temperature fitted to labelled rows, by maximum likelihood; every label weighs the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bot.emotion.calibration import Calibration

STEPS = 200
_RIDGE = 1e-4  # keeps the scale finite where the rows can be told apart without an error


def fit(
    scores: Sequence[Sequence[float]], labels: Sequence[int], base: Calibration, neutral: Sequence[int] = ()
) -> Calibration:
    """The calibration that makes `labels` (places of the right ones) likeliest, given `scores`.

    The labels at the places `neutral` are fitted after the others and change nothing between them, so
    that a strict judgement means what it says. Labels that no row has keep their distance from the
    others in `base`. Raises ValueError for fewer than two labels beside the neutral ones.
    """
    present = sorted(set(labels))
    firm = [at for at in present if at not in neutral]
    if len(firm) < 2:
        raise ValueError("rows of at least two labels that are not neutral are needed")
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(len(firm), dtype=torch.float64, requires_grad=True)
    rows, right, weights = _rows(scores, labels, firm)

    def firm_loss() -> torch.Tensor:
        logits = (rows + offsets) * log_scale.exp()
        return _miss(logits, right, weights) + _RIDGE * (log_scale**2 + (offsets**2).mean())

    _minimise([log_scale, offsets], firm_loss)
    scale = log_scale.exp().item()
    fitted = dict(zip(firm, (offsets - offsets.mean()).tolist(), strict=True))
    if len(present) > len(firm):
        rows, right, weights = _rows(scores, labels, present)
        known = torch.tensor([fitted.get(at, 0.0) for at in present], dtype=torch.float64)
        open_ones = torch.tensor([float(at not in fitted) for at in present], dtype=torch.float64)
        more = torch.zeros(len(present), dtype=torch.float64, requires_grad=True)

        def neutral_loss() -> torch.Tensor:
            logits = (rows + known + more * open_ones) * scale
            return _miss(logits, right, weights) + _RIDGE * (more**2).mean()

        _minimise([more], neutral_loss)
        fitted |= {at: more[place].item() for place, at in enumerate(present) if at not in fitted}
    middle = sum(base.biases[at] for at in firm) / len(firm)
    biases = tuple(fitted.get(at, bias - middle) for at, bias in enumerate(base.biases))
    return Calibration(biases, 1.0 / scale)


def _rows(
    scores: Sequence[Sequence[float]], labels: Sequence[int], among: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores [rows, labels], places of the right ones and weights, of the rows with labels in `among`."""
    kept = [(row, label) for row, label in zip(scores, labels, strict=True) if label in among]
    x = torch.tensor([[row[at] for at in among] for row, _ in kept], dtype=torch.float64)
    y = torch.tensor([among.index(label) for _, label in kept])
    share = torch.bincount(y, minlength=len(among)).double()
    return x, y, (1.0 / share)[y] / len(among)


def _miss(logits: torch.Tensor, right: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (torch.nn.functional.cross_entropy(logits, right, reduction="none") * weights).sum()


def _minimise(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor]) -> None:
    optimiser = torch.optim.LBFGS(parameters, max_iter=STEPS, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        value: torch.Tensor = loss()
        value.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        return value

    optimiser.step(step)  # type: ignore[no-untyped-call]  # torch has no type for it
