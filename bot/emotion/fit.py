"""Biases and a temperature fitted to labelled texts by maximum likelihood, and cross-validated.

Every label has the same weight, however many texts it has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bot.emotion.calibration import Calibration, Calibrations

MAX_STEPS = 500
MIN_SCRIPT_SAMPLES = 60  # texts of one script from which it gets a fit of its own
FOLDS = 5  # of the cross-validation
BINS = 10  # of the calibration error
MIN_PROBABILITY = 1e-15  # in the log loss, which of 0 would be infinite
_RIDGE = 1e-4  # keeps the scale finite where the labels can be separated without an error
_FLAT = 1e-10  # a gradient that is none
_MAX_DAMPING = 1e12

Numbers = NDArray[np.float64]
Loss = Callable[[Numbers], tuple[float, Numbers, Numbers]]  # with gradient and Hessian


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
    texts, size = _Texts.of(samples, polar), len(polar)

    def polar_loss(at: Numbers) -> tuple[float, Numbers, Numbers]:
        offsets, log_scale = at[:size], at[size]
        loss, gradient, hessian = texts.cross_entropy(offsets, math.exp(log_scale))
        ridge = np.full(size + 1, _RIDGE / size)  # of the offsets' mean square, and of the scale's logarithm
        ridge[size] = _RIDGE
        return loss + float(ridge @ at**2), gradient + 2 * ridge * at, hessian + np.diag(2 * ridge)

    *found, log_scale = _minimize(polar_loss, size + 1).tolist()
    scale, mean = math.exp(log_scale), sum(found) / size
    biases = {at: offset - mean for at, offset in zip(polar, found, strict=True)}
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
    texts, size = _Texts.of(samples, present), len(present)
    fixed = np.array([biases.get(at, 0.0) for at in present])
    free = np.array([float(at not in biases) for at in present])
    ridge = _RIDGE / size

    def neutral_loss(offsets: Numbers) -> tuple[float, Numbers, Numbers]:
        loss, gradient, hessian = texts.cross_entropy(fixed + offsets * free, scale)
        gradient, hessian = gradient[:size] * free, hessian[:size, :size] * np.outer(free, free)
        more = np.diag(np.full(size, 2 * ridge))
        return loss + ridge * float(offsets @ offsets), gradient + 2 * ridge * offsets, hessian + more

    offsets = _minimize(neutral_loss, size).tolist()
    return {at: bias for at, bias in zip(present, offsets, strict=True) if at not in biases}


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


@dataclass(frozen=True)
class _Texts:
    """scores [texts, labels]; right: one at the right label; weights: every label has the same sum."""

    scores: Numbers
    right: Numbers
    weights: Numbers

    @classmethod
    def of(cls, samples: Samples, among: Sequence[int]) -> _Texts:
        """The texts with labels in `among`."""
        kept = [pair for pair in zip(samples.scores, samples.labels, strict=True) if pair[1] in among]
        scores = np.array([[row[at] for at in among] for row, _ in kept], np.float64)
        right = np.eye(len(among))[[among.index(label) for _, label in kept]]
        return cls(scores, right, right @ (1 / right.sum(0)) / len(among))

    def cross_entropy(self, offsets: Numbers, scale: float) -> tuple[float, Numbers, Numbers]:
        """That of softmax(logits), logits = (scores + offsets) * scale, and its gradient and Hessian over
        the offsets and the logarithm of the scale.

        By the logits the gradient is w (p - y), the Hessian w (diag(p) - p p^T) (Bishop 2006, 4.3.4).
        """
        logits = (self.scores + offsets) * scale
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        shares = np.exp(logs)
        weights = self.weights[:, None]
        by_logit = weights * (shares - self.right)
        bent = weights * shares * (logits - (shares * logits).sum(1, keepdims=True))  # Hessian times logits
        size = len(offsets)
        gradient = np.append(scale * by_logit.sum(0), (by_logit * logits).sum())
        hessian = np.empty((size + 1, size + 1))
        hessian[:size, :size] = scale**2 * (
            np.diag((weights * shares).sum(0)) - (weights * shares).T @ shares
        )
        hessian[:size, size] = hessian[size, :size] = gradient[:size] + scale * bent.sum(0)
        hessian[size, size] = (logits * bent).sum() + gradient[size]
        return -float((weights * self.right * logs).sum()), gradient, hessian


def _minimize(loss: Loss, size: int) -> Numbers:
    """Where a smooth loss is least, from zeros: Newton's method, damped as Levenberg and Marquardt do."""
    at, damping = np.zeros(size), 1e-6
    value, gradient, hessian = loss(at)
    for _ in range(MAX_STEPS):
        if np.abs(gradient).max() < _FLAT or damping > _MAX_DAMPING:
            break
        step = np.linalg.lstsq(hessian + damping * np.eye(size), -gradient, rcond=None)[0]
        with np.errstate(all="ignore"):  # far away numbers may be too large, and are then not taken
            there = loss(at + step) if np.abs(step).max() < 100 else (math.inf, gradient, hessian)
        if there[0] < value:
            at, damping = at + step, damping / 10
            value, gradient, hessian = there
        else:
            damping = max(damping * 10, 1e-9)
    return at
