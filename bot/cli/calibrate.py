"""`calibrate`: biases and a temperature for one model, fitted to labelled texts."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from bot.cli.model import UsageError, opened_engine
from bot.cli.text_input import read_table
from bot.emotion import EmotionClassifier
from bot.emotion.calibration import save_calibrations
from bot.emotion.fit import Samples, cross_validate, evaluate, fit_scripts
from bot.emotion.own_words import counted_words
from bot.emotion.spans import is_chinese
from bot.roles import Role, load_roles
from config.settings import Settings

MIN_TEXTS = 20  # with fewer a fit would follow single texts
BATCH_SIZE = 32


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Fit the emotion role to the rows of a file."""
    roles = load_roles()
    read_rows(options.file, roles["emotion"])  # what is wrong with the file is said before a model is loaded

    async def work() -> None:
        async with opened_engine(settings) as (engine, directory):
            if directory is None:
                raise UsageError("a calibration is stored with a local model: unset LLM_URL")
            classifier = EmotionClassifier(engine, roles, directory)
            await calibrate(classifier, roles["emotion"], options.file, directory, force=options.force)

    asyncio.run(work())


async def calibrate(
    classifier: EmotionClassifier, role: Role, file: Path, model_dir: Path, *, force: bool = False
) -> None:
    """Fit `role` to the rows of `file`, print what it changes, and store the better one beside the model.

    force: store the new one even where it is no better. Raises UsageError and EngineError.
    """
    rows, labels = read_rows(file, role)
    texts = [counted_words(role, row) for row in rows]
    scores: list[list[float]] = []
    with tqdm(total=len(texts), unit=" texts", disable=None) as bar:
        for start in range(0, len(texts), BATCH_SIZE):
            batch = texts[start : start + BATCH_SIZE]
            scores += await classifier.scores(batch, role=role.name)
            bar.update(len(batch))
    samples = Samples(scores, labels, [is_chinese(text) for text in texts])
    base = await classifier.calibrations(role)
    neutral = [at for at, label in enumerate(role.labels) if label.neutral]
    before = evaluate([base.of(text) for text in texts], samples)
    after = evaluate(cross_validate(samples, base, neutral), samples)
    for name, each in (("before", before), ("after", after)):
        print(
            f"{name:7} accuracy {each.accuracy:.3f}  calibration error {each.calibration_error:.3f}  "
            f"log loss {each.log_loss:.3f}"
        )
    if after.log_loss >= before.log_loss and not force:
        print(
            f"{len(texts)} texts; the calibration in use is kept: its log loss is {before.log_loss:.3f}, "
            f"that of the new one {after.log_loss:.3f} (--force stores the new one)"
        )
        return
    try:
        target = save_calibrations(role, fit_scripts(samples, base, neutral), model_dir)
    except OSError as problem:
        raise UsageError(f"{model_dir} cannot be written: {problem.strerror}") from None
    print(f"{len(texts)} texts; written to {target}, for the words and labels that role {role.name} has now")


def read_rows(file: Path, role: Role) -> tuple[list[str], list[int]]:
    """Texts and the places of their labels. A label is named as in the role file or in English."""
    table = read_table(str(file), "text", "label")
    places = {
        name: at for at, label in enumerate(role.labels) for name in (label.name, label.english) if name
    }
    texts, labels = [], []
    for number, text, label in zip(table.lines, table.column("text"), table.column("label"), strict=True):
        text, label = text.strip(), label.strip().lower()
        if not text:
            continue
        if label not in places:
            raise UsageError(
                f"{file}, line {number}: label {label[:40]!r} is not known; known are {', '.join(places)}"
            )
        texts.append(text)
        labels.append(places[label])
    # A label's only row could not be held out.
    polar = [at for at, count in Counter(labels).items() if count > 1 and not role.labels[at].neutral]
    if len(texts) < MIN_TEXTS or len(polar) < 2:
        raise UsageError(
            f"{file} has {len(texts)} texts, and {len(polar)} labels that are not neutral on several of "
            f"them; at least {MIN_TEXTS} texts with two such labels are needed"
        )
    return texts, labels
