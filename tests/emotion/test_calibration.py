"""Probabilities from scores: fitted, stored with the model, or measured on content-free texts."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.emotion.calibration import (
    CALIBRATION_FILE,
    Calibration,
    Calibrations,
    contextual_calibration,
    fingerprint,
    load_calibrations,
    save_calibrations,
)
from bot.emotion.fit import Samples, evaluate, fit
from bot.roles import Role

SCORES = st.lists(st.floats(-50, 50), min_size=3, max_size=3)
PLAIN = Calibration((0.0, 0.0, 0.0), 1.0)
BOTH = Calibrations(Calibration((0.5, -0.25, -3.0), 1.5), PLAIN)


@given(SCORES, SCORES, st.floats(0.1, 10))
def test_probabilities_sum_to_one_and_a_forbidden_label_has_none(
    scores: list[float], biases: list[float], temperature: float
) -> None:
    shares = Calibration(tuple(biases), temperature).probabilities(scores, forbidden=[2])
    assert math.isclose(sum(shares), 1.0)
    assert shares[2] == 0.0


@given(SCORES, st.floats(-100, 100))
def test_only_differences_between_scores_count(scores: list[float], shift: float) -> None:
    moved = PLAIN.probabilities([score + shift for score in scores])
    assert moved == pytest.approx(PLAIN.probabilities(scores), abs=1e-6)


def test_after_contextual_calibration_a_content_free_text_favours_no_label() -> None:
    rows = [[-1.0, -3.0, -5.0], [-2.0, -4.0, -6.0]]
    assert contextual_calibration(rows).probabilities(rows[0]) == pytest.approx([1 / 3] * 3)


@given(
    count=st.integers(2, 5),
    spread=st.sampled_from([0.3, 4.0, 60.0]),
    signal=st.sampled_from([0.0, 2.0, 50.0]),
    seed=st.integers(0, 1 << 32),
)
def test_no_calibration_nearby_is_likelier_than_the_fit(
    count: int, spread: float, signal: float, seed: int
) -> None:
    draw = random.Random(seed)
    labels = [at % count for at in range(12 * count)]
    scores = [[draw.gauss(signal * (at == right), spread) for at in range(count)] for right in labels]
    samples = Samples(scores, labels, [False] * len(labels))
    found = fit(samples, Calibration((0.0,) * count, 1.0))

    def unlikeliness(biases: list[float], temperature: float) -> float:
        """As bot.emotion.fit has it, its ridge included; every label has as many texts."""
        calibration = Calibration(tuple(biases), temperature)
        shares = [calibration.probabilities(row)[right] for row, right in zip(scores, labels, strict=True)]
        size = math.log(temperature) ** 2 + sum(bias**2 for bias in biases) / count
        return -sum(math.log(max(share, 1e-300)) for share in shares) / len(labels) + 1e-4 * size

    least = unlikeliness(list(found.biases), found.temperature)
    assert sum(found.biases) == pytest.approx(0, abs=1e-6)
    for step in (0.01, 0.5):
        for sign in (step, -step):
            for at in range(count):
                moved = [bias + sign * (at == other) for other, bias in enumerate(found.biases)]
                assert unlikeliness(moved, found.temperature) >= least - 1e-9
            assert unlikeliness(list(found.biases), found.temperature * math.exp(sign)) >= least - 1e-9


def test_a_fit_finds_the_bias_and_the_temperature_that_made_the_labels() -> None:
    draw = random.Random(3)
    scores, labels = [], []
    for _ in range(4000):
        row = [draw.gauss(-1, 4), draw.gauss(1, 4), 0.0]  # with the bias, both labels are as frequent
        shares = Calibration((1.0, -1.0, 0.0), 2.0).probabilities(row, forbidden=[2])
        scores.append(row)
        labels.append(0 if draw.random() < shares[0] else 1)
    samples = Samples(scores, labels, [False] * len(labels))
    found = fit(samples, PLAIN)
    assert found.biases[0] - found.biases[1] == pytest.approx(2.0, abs=0.3)
    assert found.temperature == pytest.approx(2.0, abs=0.2)
    assert evaluate([found] * len(labels), samples).calibration_error < 0.03


def test_a_fit_needs_two_labels() -> None:
    with pytest.raises(ValueError, match="two labels"):
        fit(Samples([[0.0, 1.0, 2.0]], [1], [False]), PLAIN)


def test_a_label_without_texts_keeps_its_distance() -> None:
    base = Calibration((0.0, 0.0, -5.0), 1.0)
    samples = Samples([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]] * 20, [0, 1] * 20, [False] * 40)
    assert fit(samples, base).biases[2] == pytest.approx(-5.0, abs=0.01)


def test_what_is_stored_is_found_again_for_the_same_prompt_alone(
    tmp_path: Path, roles: dict[str, Role]
) -> None:
    role = roles["emotion"]
    file = save_calibrations(role, BOTH, tmp_path)
    assert file == tmp_path / CALIBRATION_FILE
    assert load_calibrations(role, tmp_path) == BOTH
    assert load_calibrations(replace(role, system="Other words."), tmp_path) is None
    assert [each.name for each in tmp_path.iterdir()] == [CALIBRATION_FILE]


def test_two_roles_of_one_name_keep_a_calibration_each(tmp_path: Path, roles: dict[str, Role]) -> None:
    first = roles["emotion"]
    second = replace(first, labels=first.labels[::-1])
    other = Calibrations(PLAIN, PLAIN)
    save_calibrations(first, BOTH, tmp_path)
    save_calibrations(second, other, tmp_path)
    assert load_calibrations(first, tmp_path) == BOTH
    assert load_calibrations(second, tmp_path) == other


def test_a_file_of_an_older_version_is_read_and_kept(tmp_path: Path, roles: dict[str, Role]) -> None:
    role = roles["emotion"]
    file = save_calibrations(role, BOTH, tmp_path)
    ((key, entry),) = json.loads(file.read_text(encoding="utf-8")).items()
    del entry["role"]
    file.write_text(json.dumps({role.name: {"prompt": key, **entry}}), encoding="utf-8")
    assert load_calibrations(role, tmp_path) == BOTH
    save_calibrations(replace(role, system="Other words."), Calibrations(PLAIN, PLAIN), tmp_path)
    assert load_calibrations(role, tmp_path) == BOTH


def test_each_script_has_its_own() -> None:
    assert BOTH.of("太棒了").temperature == 1.5
    assert BOTH.of("Great!").temperature == 1.0


def test_storing_one_role_keeps_the_others(tmp_path: Path, roles: dict[str, Role]) -> None:
    save_calibrations(roles["emotion"], BOTH, tmp_path)
    save_calibrations(roles["feelings"], Calibrations(*[Calibration((0.0,) * 7, 1.0)] * 2), tmp_path)
    assert load_calibrations(roles["emotion"], tmp_path) == BOTH


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[1]",
        '{"emotion": 3}',
        '{"emotion": {"prompt": "PROMPT", "temperature": 0}}',
        '{"PROMPT": {}}',
    ],
)
def test_a_damaged_file_is_passed_over_with_a_warning(
    tmp_path: Path, roles: dict[str, Role], caplog: pytest.LogCaptureFixture, content: str
) -> None:
    content = content.replace("PROMPT", fingerprint(roles["emotion"]))
    (tmp_path / CALIBRATION_FILE).write_text(content, encoding="utf-8")
    assert load_calibrations(roles["emotion"], tmp_path) is None
    assert str(tmp_path / CALIBRATION_FILE) in caplog.text


def test_the_starter_ships_with_a_calibration_for_the_prompt_that_ships(roles: dict[str, Role]) -> None:
    assert load_calibrations(roles["emotion"], Path("anywhere/starter")) is not None
