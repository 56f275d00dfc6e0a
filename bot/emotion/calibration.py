"""From label scores to probabilities that mean what they say: one bias a label and one temperature.

A model's own calibration is fitted by `python -m bot calibrate` and stored with it. Without one, a
label's bias comes from its scores for content-free texts (contextual calibration, Zhao et al. 2021,
arXiv:2102.09690).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.emotion.spans import is_chinese
from bot.engine.weights.model_files import ModelFiles, beside
from bot.roles import Role
from config.settings import ROOT

log = logging.getLogger(__name__)

CALIBRATION_FILE = "calibration.json"  # beside the model
SHIPPED = ROOT / "config" / "calibration"  # NAME.json for a model of the catalogue
CHINESE, OTHER = "chinese", "other"  # a model leans differently in different scripts
SCRIPTS = (CHINESE, OTHER)
CONTENT_FREE = {CHINESE: ("无", "这句话", "一段文字"), OTHER: ("N/A", "[MASK]", "text")}
TEMPERATURE = 2.0  # without a fit: a small model is overconfident


class CalibrationError(ValueError):
    """A calibration file that cannot be used; the message names it and the mend."""


@dataclass(frozen=True)
class Calibration:
    """probability = softmax((score + bias) / temperature). `biases` are in the order of the role's labels."""

    biases: tuple[float, ...]
    temperature: float

    def probabilities(self, scores: Sequence[float], forbidden: Sequence[int] = ()) -> list[float]:
        """The labels' probabilities, which sum to 1; those at the places `forbidden` are 0."""
        values = [
            -math.inf if at in forbidden else (score + bias) / self.temperature
            for at, (score, bias) in enumerate(zip(scores, self.biases, strict=True))
        ]
        top = max(values)
        shares = [math.exp(value - top) for value in values]
        return [share / sum(shares) for share in shares]


@dataclass(frozen=True)
class Calibrations:
    """One calibration for Chinese text and one for other text."""

    chinese: Calibration
    other: Calibration

    def of(self, text: str) -> Calibration:
        """The one for `text`."""
        return self.chinese if is_chinese(text) else self.other


def contextual_calibration(scores: Sequence[Sequence[float]]) -> Calibration:
    """The calibration by the label scores of content-free texts, one row each."""
    centred = [[value - sum(row) / len(row) for value in row] for row in scores]
    return Calibration(
        tuple(-sum(column) / len(centred) for column in zip(*centred, strict=True)), TEMPERATURE
    )


def load_calibrations(role: Role, model_dir: Path | None) -> Calibrations | None:
    """The fitted calibration of `role` for the model in `model_dir`, if there is one for this very prompt."""
    if model_dir is None:
        return None
    for file in (beside(model_dir, CALIBRATION_FILE), SHIPPED / f"{ModelFiles(model_dir).name}.json"):
        try:
            if (entry := _read(file).get(fingerprint(role))) is not None:
                return Calibrations(*(_calibration(role, entry[script]) for script in SCRIPTS))
        except CalibrationError as problem:
            log.warning("%s", problem)
        except (KeyError, TypeError, ValueError):
            log.warning("%s: the entry of role %r is not one: run `python -m bot calibrate`", file, role.name)
    return None


def save_calibrations(role: Role, calibrations: Calibrations, model_dir: Path) -> Path:
    """Write `calibrations` beside the model; the file. What it says of other prompts is kept, also of
    the same role with other labels."""
    file = beside(model_dir, CALIBRATION_FILE)
    entries = _read(file)
    entries[fingerprint(role)] = {
        "role": role.name,
        CHINESE: _entry(role, calibrations.chinese),
        OTHER: _entry(role, calibrations.other),
    }
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(entries, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)
    return file


def fingerprint(role: Role) -> str:
    """A short hash of all that a role's scores depend on: another prompt needs another calibration."""
    labels = [(label.name, label.spellings) for label in role.labels]
    parts = (role.system, role.ask, role.opening, role.examples, labels)
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]


def _entry(role: Role, calibration: Calibration) -> dict[str, Any]:
    biases = zip(role.labels, calibration.biases, strict=True)
    return {
        "temperature": round(calibration.temperature, 4),
        "biases": {label.name: round(bias, 4) for label, bias in biases},
    }


def _calibration(role: Role, entry: Mapping[str, Any]) -> Calibration:
    biases = tuple(float(entry["biases"][label.name]) for label in role.labels)
    temperature = float(entry["temperature"])
    if temperature <= 0 or not all(map(math.isfinite, (*biases, temperature))):
        raise ValueError("biases are finite, a temperature is above 0")
    return Calibration(biases, temperature)


def _read(file: Path) -> dict[str, Any]:
    """The entries of a file by the fingerprint of their role."""
    if not file.is_file():
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise CalibrationError(f"{file} cannot be read ({problem}): correct or delete it") from None
    if not isinstance(entries, dict):
        raise CalibrationError(f"{file} is not a JSON object: correct or delete it")
    if not all(isinstance(entry, dict) for entry in entries.values()):
        raise CalibrationError(f"{file} has an entry that is not a JSON object: correct or delete it")
    # Older files are keyed by the role's name; an entry under its fingerprint is newer.
    older = {
        str(e["prompt"]): {"role": name, CHINESE: e.get(CHINESE), OTHER: e.get(OTHER)}
        for name, e in entries.items()
        if "prompt" in e
    }
    return older | {key: entry for key, entry in entries.items() if "prompt" not in entry}
