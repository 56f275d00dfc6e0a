"""The command `calibrate`: biases and a temperature for one model, fitted to labelled texts."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bot.emotion import Emotions
from bot.emotion.calibration import Calibration, Calibrations, store
from bot.emotion.fitting import fit
from bot.emotion.pieces import is_chinese
from bot.roles import Role

FEWEST = 20  # rows; with fewer a fit would follow single texts
OWN = 60  # rows of one script from which it gets a fit of its own
FOLDS = 5  # parts of the rows; each is judged by a fit to the others
LEAST = 1e-15  # probability that counts in the log loss, which of 0 would be infinite
BATCH = 32


class CalibrationFileError(ValueError):
    """The labelled file cannot be used; the message says the mend."""


@dataclass(frozen=True)
class Measured:
    """How well probabilities fit the labels."""

    accuracy: float
    error: float  # expected calibration error, ten bins
    loss: float  # log loss, in which every label weighs the same, as in the fit


async def calibrate(
    emotions: Emotions, role: Role, file: Path, model_dir: Path, *, force: bool = False
) -> None:
    """Fit `role` to the rows of `file`, print what it changes, and store the better one beside the model.

    force: store the new one even where it is no better. Raises CalibrationFileError and EngineError.
    """
    texts, labels = read_rows(file, role)
    scores: list[list[float]] = []
    with tqdm(total=len(texts), unit=" texts", disable=None) as bar:
        for start in range(0, len(texts), BATCH):
            scores += await emotions.scores(texts[start : start + BATCH], role=role.name)
            bar.update(len(texts[start : start + BATCH]))
    base = await emotions.calibrations(role)
    chinese = [is_chinese(text) for text in texts]
    neutral = [at for at, label in enumerate(role.labels) if label.neutral]
    before = measure([base.of(text) for text in texts], scores, labels)
    after = measure(held_out(scores, labels, chinese, base, neutral), scores, labels)
    for name, each in (("before", before), ("after", after)):
        print(
            f"{name:7} accuracy {each.accuracy:.3f}  calibration error {each.error:.3f}  "
            f"log loss {each.loss:.3f}"
        )
    if after.loss >= before.loss and not force:
        print(
            f"{len(texts)} texts; the calibration in use is kept: its log loss is {before.loss:.3f}, "
            f"that of the new one {after.loss:.3f} (--force stores the new one)"
        )
        return
    try:
        target = store(role, fit_scripts(scores, labels, chinese, base, neutral), model_dir)
    except OSError as problem:
        raise CalibrationFileError(f"{model_dir} cannot be written: {problem.strerror}") from None
    print(f"{len(texts)} texts; written to {target}")


def fit_scripts(
    scores: Sequence[Sequence[float]],
    labels: Sequence[int],
    chinese: Sequence[bool],
    base: Calibrations,
    neutral: Sequence[int],
) -> Calibrations:
    """A fit for each script with rows enough, else the one to all rows."""
    everything = fit(scores, labels, base.chinese, neutral)

    def fitted(script: bool) -> Calibration:
        rows = [at for at, each in enumerate(chinese) if each == script]
        own = [labels[at] for at in rows]
        if len(rows) < OWN or set(own) != set(labels):
            return everything
        return fit([scores[at] for at in rows], own, everything, neutral)

    return Calibrations(fitted(True), fitted(False))


def held_out(
    scores: Sequence[Sequence[float]],
    labels: Sequence[int],
    chinese: Sequence[bool],
    base: Calibrations,
    neutral: Sequence[int],
) -> list[Calibration]:
    """For each row the fit to other rows alone (cross-validation): one to all would know the answers."""
    # Labels and scripts are dealt out evenly, so that no fold takes all rows of a label away.
    order = sorted(range(len(labels)), key=lambda at: (labels[at], chinese[at]))
    found: dict[int, Calibration] = {}
    for fold in range(FOLDS):
        out = order[fold::FOLDS]
        others = sorted(set(order) - set(out))
        fitted = fit_scripts(
            [scores[at] for at in others],
            [labels[at] for at in others],
            [chinese[at] for at in others],
            base,
            neutral,
        )
        found.update((at, fitted.chinese if chinese[at] else fitted.other) for at in out)
    return [found[at] for at in range(len(labels))]


def measure(
    calibrations: Sequence[Calibration], scores: Sequence[Sequence[float]], labels: Sequence[int]
) -> Measured:
    """How well the calibrations, one a row, fit the labels; labels that no row has are left out."""
    forbidden = [at for at in range(len(scores[0])) if at not in labels]
    weights = {label: 1 / count / len(set(labels)) for label, count in Counter(labels).items()}
    bins: dict[int, list[float]] = {}
    right, loss = 0, 0.0
    for calibration, row, label in zip(calibrations, scores, labels, strict=True):
        shares = calibration.probabilities(row, forbidden)
        hit = shares[label] == max(shares)
        right += hit
        loss -= weights[label] * math.log(max(shares[label], LEAST))
        bins.setdefault(min(9, int(max(shares) * 10)), []).append(max(shares) - hit)
    error = sum(abs(sum(each)) for each in bins.values()) / len(labels)
    return Measured(right / len(labels), error, loss)


def read_rows(file: Path, role: Role) -> tuple[list[str], list[int]]:
    """Texts and the places of their labels. A label is named as in the role file or in English."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise CalibrationFileError(f"{file} cannot be read: {problem}") from None
    for name in ("text", "label"):
        if name not in columns:
            raise CalibrationFileError(
                f"{file} has no column `{name}`; it has: {', '.join(columns) or 'none'}"
            )
    places = {
        name: at for at, label in enumerate(role.labels) for name in (label.name, label.english) if name
    }
    texts, labels = [], []
    for number, row in enumerate(rows, start=2):
        text, label = (row["text"] or "").strip(), (row["label"] or "").strip().lower()
        if not text:
            continue
        if label not in places:
            raise CalibrationFileError(
                f"{file}, row {number}: label {label[:40]!r} is not known; known are {', '.join(places)}"
            )
        texts.append(text)
        labels.append(places[label])
    # A label's only row could not be held out.
    firm = [at for at, count in Counter(labels).items() if count > 1 and not role.labels[at].neutral]
    if len(texts) < FEWEST or len(firm) < 2:
        raise CalibrationFileError(
            f"{file} has {len(texts)} texts, and {len(firm)} labels that are not neutral on several of them; "
            f"at least {FEWEST} texts with two such labels are needed"
        )
    return texts, labels
