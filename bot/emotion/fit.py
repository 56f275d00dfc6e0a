"""Biases and a temperature fitted to labelled texts by maximum likelihood, and cross-validated.

Every label has the same weight, however many texts it has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bot.emotion.calibration import Calibration, Calibrations

MAX_STEPS = 200
MIN_SCRIPT_SAMPLES = 60  # texts of one script from which it gets a fit of its own
FOLDS = 5  # of the cross-validation
BINS = 10  # of the calibration error
MIN_PROBABILITY = 1e-15  # in the log loss, which of 0 would be infinite
_RIDGE = 1e-4  # keeps the scale finite where the labels can be separated without an error


@dataclass(frozen=True)
class Samples:
    """Labelled texts, one entry a text: label scores, the index of the right label, the script."""

    scores: Sequence[Sequence[float]]
    labels: Sequence[int]
    chinese: Sequence[bool]

    def select(self, places: Sequence[int]) -> Samples:
        """Those at `places`."""
        return Samples(
            [self.scores[at] for at in places],
            [self.labels[at] for at in places],
            [self.chinese[at] for at in places],
        )


@dataclass(frozen=True)
class Evaluation:
    """How well probabilities agree with the labels."""

    accuracy: float
    calibration_error: float  # expected calibration error over BINS equal bins
    log_loss: float  # every label weighted the same, as in the fit


def fit(samples: Samples, base: Calibration, neutral: Sequence[int] = ()) -> Calibration:
    """The calibration under which the labels are likeliest, given the scores.

    The labels at the places `neutral` are fitted after the others and change nothing between them, so
    that a strict classification keeps its meaning. Labels without a text keep their distance from the
    others in `base`. Raises ValueError for fewer than two labels beside the neutral ones.
    """
    present = sorted(set(samples.labels))
    polar = [at for at in present if at not in neutral]
    if len(polar) < 2:
        raise ValueError("texts of at least two labels that are not neutral are needed")
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(len(polar), dtype=torch.float64, requires_grad=True)
    scores, targets, weights = _tensors(samples, polar)

    def polar_loss() -> torch.Tensor:
        logits = (scores + offsets) * log_scale.exp()
        return _cross_entropy(logits, targets, weights) + _RIDGE * (log_scale**2 + (offsets**2).mean())

    _minimize([log_scale, offsets], polar_loss)
    scale = log_scale.exp().item()
    biases = dict(zip(polar, (offsets - offsets.mean()).tolist(), strict=True))
    if len(present) > len(polar):
        biases |= _fit_neutral(samples, present, biases, scale)
    base_mean = sum(base.biases[at] for at in polar) / len(polar)
    return Calibration(
        tuple(biases.get(at, bias - base_mean) for at, bias in enumerate(base.biases)), 1.0 / scale
    )


def _fit_neutral(
    samples: Samples, present: Sequence[int], biases: dict[int, float], scale: float
) -> dict[int, float]:
    """Biases of the labels in `present` that have none yet, with scale and the others held fixed."""
    scores, targets, weights = _tensors(samples, present)
    fixed = torch.tensor([biases.get(at, 0.0) for at in present], dtype=torch.float64)
    free = torch.tensor([float(at not in biases) for at in present], dtype=torch.float64)
    offsets = torch.zeros(len(present), dtype=torch.float64, requires_grad=True)

    def neutral_loss() -> torch.Tensor:
        logits = (scores + fixed + offsets * free) * scale
        return _cross_entropy(logits, targets, weights) + _RIDGE * (offsets**2).mean()

    _minimize([offsets], neutral_loss)
    return {at: bias for at, bias in zip(present, offsets.tolist(), strict=True) if at not in biases}


def fit_scripts(samples: Samples, base: Calibrations, neutral: Sequence[int]) -> Calibrations:
    """A fit for each script with enough texts, else the one to all texts."""
    overall = fit(samples, base.chinese, neutral)

    def fit_script(chinese: bool) -> Calibration:
        own = samples.select([at for at, each in enumerate(samples.chinese) if each == chinese])
        if len(own.labels) < MIN_SCRIPT_SAMPLES or set(own.labels) != set(samples.labels):
            return overall
        return fit(own, overall, neutral)

    return Calibrations(fit_script(True), fit_script(False))


def cross_validate(samples: Samples, base: Calibrations, neutral: Sequence[int]) -> list[Calibration]:
    """For each text the calibration fitted without its fold: one fitted to all would know its label."""
    # Labels and scripts are distributed evenly, so that no fold takes all texts of a label away.
    order = sorted(range(len(samples.labels)), key=lambda at: (samples.labels[at], samples.chinese[at]))
    found: dict[int, Calibration] = {}
    for fold in range(FOLDS):
        held_out = order[fold::FOLDS]
        fitted = fit_scripts(samples.select(sorted(set(order) - set(held_out))), base, neutral)
        found.update((at, fitted.chinese if samples.chinese[at] else fitted.other) for at in held_out)
    return [found[at] for at in range(len(order))]


def evaluate(calibrations: Sequence[Calibration], samples: Samples) -> Evaluation:
    """How well the calibrations, one a text, agree with the labels; labels without a text are left out."""
    present = set(samples.labels)
    forbidden = [at for at in range(len(samples.scores[0])) if at not in present]
    weights = {label: 1 / count / len(present) for label, count in Counter(samples.labels).items()}
    bins: dict[int, list[float]] = {}
    correct, loss = 0, 0.0
    for calibration, row, label in zip(calibrations, samples.scores, samples.labels, strict=True):
        shares = calibration.probabilities(row, forbidden)
        confidence = max(shares)
        hit = shares[label] == confidence
        correct += hit
        loss -= weights[label] * math.log(max(shares[label], MIN_PROBABILITY))
        bins.setdefault(min(BINS - 1, int(confidence * BINS)), []).append(confidence - hit)
    error = sum(abs(sum(each)) for each in bins.values()) / len(samples.labels)
    return Evaluation(correct / len(samples.labels), error, loss)


def _tensors(samples: Samples, among: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores [texts, labels], right labels and weights of the texts with labels in `among`."""
    kept = [pair for pair in zip(samples.scores, samples.labels, strict=True) if pair[1] in among]
    scores = torch.tensor([[row[at] for at in among] for row, _ in kept], dtype=torch.float64)
    targets = torch.tensor([among.index(label) for _, label in kept])
    counts = torch.bincount(targets, minlength=len(among)).double()
    return scores, targets, (1.0 / counts)[targets] / len(among)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights).sum()


def _minimize(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        torch.autograd.backward(value)
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch has no type for it
