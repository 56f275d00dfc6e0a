"""The command `calibrate`: biases and a temperature for one model, fitted to labelled texts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from bot.emotion import Emotions
from bot.emotion.calibration import Calibration, Calibrations, store
from bot.emotion.fitting import fit
from bot.emotion.pieces import is_chinese
from bot.roles import Role

FEWEST = 20  # rows; with fewer a fit would follow single texts
OWN = 60  # rows of one script from which it gets a fit of its own
BATCH = 32


class CalibrationFileError(ValueError):
    """The labelled file cannot be used; the message says the mend."""


async def calibrate(emotions: Emotions, role: Role, file: Path, model_dir: Path) -> None:
    """Fit `role` to the rows of `file`, store the result beside the model and print what it changes.

    Raises CalibrationFileError and EngineError.
    """
    texts, labels = read_rows(file, role)
    scores: list[list[float]] = []
    with tqdm(total=len(texts), unit=" texts", disable=None) as bar:
        for start in range(0, len(texts), BATCH):
            scores += await emotions.scores(texts[start : start + BATCH], role=role.name)
            bar.update(len(texts[start : start + BATCH]))
    before = await emotions.calibrations(role)
    chinese = [is_chinese(text) for text in texts]
    neutral = [at for at, label in enumerate(role.labels) if label.neutral]
    everything = fit(scores, labels, before.chinese, neutral)

    def fitted(script: bool) -> Calibration:
        rows = [at for at, each in enumerate(chinese) if each == script]
        own = [labels[at] for at in rows]
        if len(rows) < OWN or set(own) != set(labels):
            return everything
        return fit([scores[at] for at in rows], own, everything, neutral)

    after = Calibrations(fitted(True), fitted(False))
    try:
        target = store(role, after, model_dir)
    except OSError as problem:
        raise CalibrationFileError(f"{model_dir} cannot be written: {problem.strerror}") from None
    for name, each in (("before", before), ("after", after)):
        right, error = measure([each.of(text) for text in texts], scores, labels)
        print(f"{name:7} accuracy {right:.3f}  calibration error {error:.3f}")
    print(f"{len(texts)} texts; written to {target}")


def measure(
    calibrations: Sequence[Calibration], scores: Sequence[Sequence[float]], labels: Sequence[int]
) -> tuple[float, float]:
    """Accuracy and expected calibration error (ten bins), labels that no row has left out."""
    forbidden = [at for at in range(len(scores[0])) if at not in labels]
    bins: dict[int, list[float]] = {}
    right = 0
    for calibration, row, label in zip(calibrations, scores, labels, strict=True):
        shares = calibration.probabilities(row, forbidden)
        hit = shares[label] == max(shares)
        right += hit
        bins.setdefault(min(9, int(max(shares) * 10)), []).append(max(shares) - hit)
    return right / len(labels), sum(abs(sum(each)) for each in bins.values()) / len(labels)


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
    firm = {label for label in labels if not role.labels[label].neutral}
    if len(texts) < FEWEST or len(firm) < 2:
        raise CalibrationFileError(
            f"{file} has {len(texts)} texts with {len(firm)} labels that are not neutral; "
            f"at least {FEWEST} texts with two are needed"
        )
    return texts, labels
