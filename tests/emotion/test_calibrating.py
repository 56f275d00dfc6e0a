"""`calibrate` stores a fit where it is better on texts it was not fitted to, and else keeps what there is."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.calibrating import FOLDS, CalibrationFileError, calibrate, held_out, measure, read_rows
from bot.emotion import Emotions
from bot.emotion.calibration import Calibration, Calibrations, store, stored
from bot.options import parse
from bot.roles import Role

TRUE = Calibration((1.5, -1.5, 0.0), 1.0)  # what the labels below are drawn by
WRONG = Calibration((-3.0, 3.0, 0.0), 0.3)
ROWS = 200
DRAW = random.Random(5)
# The biases of TRUE make all labels as frequent, as they are to a fit.
SCORES = [[DRAW.gauss(-bias, 1.5) for bias in TRUE.biases] for _ in range(ROWS)]


class Scored(Emotions):
    """Knows the scores of the text that is a row's number."""

    async def scores(self, texts: Sequence[str], *, role: str = "emotion") -> list[list[float]]:
        return [SCORES[int(text)] for text in texts]


@pytest.fixture
def rows(tmp_path: Path, roles: dict[str, Role]) -> Path:
    """A file with labels that were drawn by TRUE."""
    draw = random.Random(6)
    names = [label.name for label in roles["emotion"].labels]
    labels = [draw.choices(names, TRUE.probabilities(scores))[0] for scores in SCORES]
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *enumerate(labels)])
    return tmp_path / "rows.csv"


async def after_calibrating(
    rows: Path, roles: dict[str, Role], there: Calibration, force: bool = False
) -> Calibrations | None:
    """What is stored after `calibrate`, where `there` was before."""
    store(roles["emotion"], Calibrations(there, there), rows.parent)
    emotions = Scored(None, roles, rows.parent)  # type: ignore[arg-type]  # nothing is asked of an engine
    await calibrate(emotions, roles["emotion"], rows, rows.parent, force=force)
    return stored(roles["emotion"], rows.parent)


async def test_a_better_one_is_stored(
    rows: Path, roles: dict[str, Role], capsys: pytest.CaptureFixture[str]
) -> None:
    found = await after_calibrating(rows, roles, WRONG)
    assert found is not None
    assert found.other.temperature == pytest.approx(TRUE.temperature, rel=0.4)
    before, after, last = capsys.readouterr().out.splitlines()
    assert float(after.split()[-1]) < float(before.split()[-1])
    assert last == f"{ROWS} texts; written to {rows.parent / 'calibration.json'}"


async def test_a_worse_one_is_not_stored_and_both_figures_are_said(
    rows: Path, roles: dict[str, Role], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await after_calibrating(rows, roles, TRUE) == Calibrations(TRUE, TRUE)
    before, after, last = capsys.readouterr().out.splitlines()
    old, new = before.split()[-1], after.split()[-1]
    assert float(new) > float(old)
    assert f"is kept: its log loss is {old}, that of the new one {new} (--force" in last


async def test_who_insists_gets_it_stored(
    rows: Path, roles: dict[str, Role], capsys: pytest.CaptureFixture[str]
) -> None:
    found = await after_calibrating(rows, roles, TRUE, force=True)
    assert found not in (None, Calibrations(TRUE, TRUE))
    assert "written to" in capsys.readouterr().out
    assert parse(["calibrate", "rows.csv", "--force"]).force
    assert not parse(["calibrate", "rows.csv"]).force


async def test_the_same_file_again_changes_nothing(rows: Path, roles: dict[str, Role]) -> None:
    first = await after_calibrating(rows, roles, WRONG)
    emotions = Scored(None, roles, rows.parent)  # type: ignore[arg-type]  # as above
    await calibrate(emotions, roles["emotion"], rows, rows.parent)
    assert stored(roles["emotion"], rows.parent) == first


def test_no_row_is_judged_by_a_fit_that_knew_its_label() -> None:
    """Labels by chance: a fit that had seen them would do better than knowing nothing."""
    draw = random.Random(7)
    labels = [draw.randrange(3) for _ in range(60)]
    plain = Calibration((0.0, 0.0, 0.0), 1.0)
    found = held_out(SCORES[:60], labels, [False] * 60, Calibrations(plain, plain), [2])
    assert len({each.biases for each in found}) == FOLDS
    nothing = measure([plain] * 60, [[0.0] * 3] * 60, labels)
    assert measure(found, SCORES[:60], labels).loss > nothing.loss


def test_a_label_of_a_single_text_cannot_be_one_of_the_two(tmp_path: Path, roles: dict[str, Role]) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "a,positive\n" * 30 + "b,negative\n", "utf-8")
    with pytest.raises(CalibrationFileError, match="two such labels are needed"):
        read_rows(tmp_path / "rows.csv", roles["emotion"])
    both = "text,label\n" + "a,positive\n" * 30 + "b,negative\n" * 2
    (tmp_path / "rows.csv").write_text(both, "utf-8")
    texts, labels = read_rows(tmp_path / "rows.csv", roles["emotion"])
    plain = Calibration((0.0, 0.0, 0.0), 1.0)
    found = held_out(SCORES[:32], labels, [False] * 32, Calibrations(plain, plain), [2])
    assert len(found) == len(texts)
