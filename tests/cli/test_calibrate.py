"""`calibrate` stores a fit where it is better on texts it was not fitted to, and else keeps the old one."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from running_site import ScriptedEngine

from bot.cli.calibrate import calibrate, read_rows
from bot.cli.model import UsageError
from bot.cli.options import parse
from bot.emotion import EmotionClassifier
from bot.emotion.calibration import Calibration, Calibrations, load_calibrations, save_calibrations
from bot.emotion.fit import FOLDS, Samples, cross_validate, evaluate
from bot.roles import Role

TRUE = Calibration((1.5, -1.5, 0.0), 1.0)  # what the labels below are drawn by
WRONG = Calibration((-3.0, 3.0, 0.0), 0.3)
ROWS = 200
DRAW = random.Random(5)
# The biases of TRUE make all labels as frequent, as they are to a fit.
SCORES = [[DRAW.gauss(-bias, 1.5) for bias in TRUE.biases] for _ in range(ROWS)]


class PresetScores(EmotionClassifier):
    """Scores each text, which is a row's number, by SCORES; everything else is the real classifier."""

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
    save_calibrations(roles["emotion"], Calibrations(there, there), rows.parent)
    classifier = PresetScores(ScriptedEngine(), roles, rows.parent)
    await calibrate(classifier, roles["emotion"], rows, rows.parent, force=force)
    return load_calibrations(roles["emotion"], rows.parent)


async def test_a_better_one_is_stored(
    rows: Path, roles: dict[str, Role], capsys: pytest.CaptureFixture[str]
) -> None:
    found = await after_calibrating(rows, roles, WRONG)
    assert found is not None
    assert found.other.temperature == pytest.approx(TRUE.temperature, rel=0.4)
    before, after, last = capsys.readouterr().out.splitlines()
    assert float(after.split()[-1]) < float(before.split()[-1])
    target = rows.parent / "calibration.json"
    assert last == f"{ROWS} texts; written to {target}, for the words and labels that role emotion has now"


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
    classifier = PresetScores(ScriptedEngine(), roles, rows.parent)
    await calibrate(classifier, roles["emotion"], rows, rows.parent)
    assert load_calibrations(roles["emotion"], rows.parent) == first


def test_no_text_is_evaluated_by_a_fit_to_its_own_label() -> None:
    """With random labels only a fit to the same labels could do better than a constant."""
    draw = random.Random(7)
    labels = [draw.randrange(3) for _ in range(60)]
    plain = Calibration((0.0, 0.0, 0.0), 1.0)
    samples = Samples(SCORES[:60], labels, [False] * 60)
    found = cross_validate(samples, Calibrations(plain, plain), [2])
    assert len({each.biases for each in found}) == FOLDS
    constant = evaluate([plain] * 60, Samples([[0.0] * 3] * 60, labels, [False] * 60))
    assert evaluate(found, samples).log_loss > constant.log_loss


def test_a_label_of_a_single_text_cannot_be_one_of_the_two(tmp_path: Path, roles: dict[str, Role]) -> None:
    (tmp_path / "rows.csv").write_text("text,label\n" + "a,positive\n" * 30 + "b,negative\n", "utf-8")
    with pytest.raises(UsageError, match="two such labels are needed"):
        read_rows(tmp_path / "rows.csv", roles["emotion"])
    both = "text,label\n" + "a,positive\n" * 30 + "b,negative\n" * 2
    (tmp_path / "rows.csv").write_text(both, "utf-8")
    texts, labels = read_rows(tmp_path / "rows.csv", roles["emotion"])
    plain = Calibration((0.0, 0.0, 0.0), 1.0)
    samples = Samples(SCORES[:32], labels, [False] * 32)
    assert len(cross_validate(samples, Calibrations(plain, plain), [2])) == len(texts)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,b\n1,2\n", "no column `text`"),
        ("text\nhello\n", "no column `label`"),
        ("text,label\nhello,great\n", "line 2: label 'great' is not known"),
        ("text,label\nhello,positive\n", "at least 20 texts"),
        ("", "no column `text`; it has: none"),
    ],
)
def test_a_file_that_cannot_be_fitted_is_refused(
    tmp_path: Path, roles: dict[str, Role], content: str, problem: str
) -> None:
    (tmp_path / "rows.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        read_rows(tmp_path / "rows.csv", roles["emotion"])


def test_labels_are_read_in_both_languages(tmp_path: Path, roles: dict[str, Role]) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\ufefftext,label\n" + "好,正面\nbad,Negative\n,x\n会议,中性\n" * 10, encoding="utf-8")
    texts, labels = read_rows(file, roles["emotion"])
    assert texts[:3] == ["好", "bad", "会议"]
    assert labels[:3] == [0, 1, 2]
    assert len(texts) == 30
