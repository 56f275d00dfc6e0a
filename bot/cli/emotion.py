"""`emotion`: classify a text, lines from standard input, or a CSV file."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TextIO

from tqdm import tqdm

from bot.cli.model import UsageError, opened_engine, role_named
from bot.cli.text_input import Table, check_text, read_table
from bot.emotion import Emotion, EmotionClassifier, EmptyText, Explanation
from bot.emotion.sentences import emotion_line, explanation_text, label_aside, omitted_text
from bot.emotion.spans import normalize_text
from bot.roles import Role, load_roles
from config.settings import Settings
from config.strings import Strings, language_of_terminal

BATCH_SIZE = 32
ADDED = ("label", "confidence", "omitted")  # columns
NOTHING = ("label", "confidence", "scores", "omitted")  # null for a text with nothing in it


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Classify what the options name."""
    check_options(options)
    roles = load_roles()
    role = roles[role_named(roles, options.role, classifies=True)]
    table = read_table(options.csv, "text") if options.csv is not None else None

    async def work() -> None:
        async with opened_engine(settings) as (engine, directory):
            await classify(EmotionClassifier(engine, roles, directory), role, options, table)

    asyncio.run(work())


def check_options(options: argparse.Namespace) -> None:
    """Refuse what `emotion` cannot do, before a model is loaded for it. Raises UsageError and EmptyText."""
    if options.csv is None and options.out is not None:
        raise UsageError("--out goes with --csv")
    if options.csv is not None and (options.json or options.explain):
        raise UsageError("--csv writes CSV: leave --json and --explain out")
    if options.text is not None and not check_text(options.text).strip():
        raise EmptyText
    files = [options.csv, options.out]
    if options.out is not None and all(map(os.path.exists, files)) and os.path.samefile(*files):
        raise UsageError(f"{options.out} is the file that is read: name another with --out")


async def classify(
    classifier: EmotionClassifier, role: Role, options: argparse.Namespace, table: Table | None
) -> None:
    """Classify a text, lines or the rows of `table` by `role`, as the options say."""
    if table is not None:
        await classify_table(classifier, table, options.out, role=role.name, strict=options.strict)
        return
    how = {"strict": options.strict, "explain": options.explain, "as_json": options.json}
    if options.text == "-":
        await classify_lines(classifier, sys.stdin, role=role.name, **how)
    else:
        await classify_text(classifier, options.text, role=role, **how)


async def classify_text(
    classifier: EmotionClassifier, text: str, *, role: Role, strict: bool, explain: bool, as_json: bool
) -> None:
    """Print the emotion of one text. Raises EmptyText."""
    emotion = await classifier.classify(text, strict=strict, role=role.name)
    explanation = await classifier.explain(text, emotion, role=role.name) if explain else None
    if as_json:
        print(json.dumps(_row(text, emotion, explanation), ensure_ascii=False))
        return
    line = emotion_line(emotion, role) + label_aside(emotion, language_of_terminal())
    print(f"{line}  {emotion.confidence:.0%}")
    if omitted := omitted_text(emotion, Strings(language_of_terminal())):
        print(omitted)
    if explanation is not None:
        print(explanation_text(explanation))


async def classify_lines(
    classifier: EmotionClassifier, lines: TextIO, *, role: str, strict: bool, explain: bool, as_json: bool
) -> None:
    """Print label, confidence and text of each line, or a JSON object; empty lines stay empty."""
    size = 1 if lines.isatty() else BATCH_SIZE
    with _bar(not lines.isatty() and not sys.stdout.isatty()) as bar:
        rows = (
            check_text(line.rstrip("\r\n"), f"line {number}") for number, line in enumerate(lines, start=1)
        )
        while batch := await asyncio.to_thread(lambda: list(islice(rows, size))):
            emotions = await _classify_batch(classifier, batch, role, strict, bar)
            for text, emotion in zip(batch, emotions, strict=True):
                explanation = None
                if explain and emotion is not None:
                    explanation = await classifier.explain(text, emotion, role=role)
                if as_json:
                    print(json.dumps(_row(text, emotion, explanation), ensure_ascii=False), flush=True)
                elif emotion is None:
                    print(flush=True)
                else:
                    cells = [
                        f"{emotion.emoji} {emotion.label}{label_aside(emotion, language_of_terminal())}",
                        f"{emotion.confidence:.0%}",
                        text,
                    ]
                    if omitted := omitted_text(emotion, Strings(language_of_terminal())):
                        cells.append(omitted)
                    if explanation is not None:
                        cells.append(explanation_text(explanation))
                    print("\t".join(cells), flush=True)


async def classify_table(
    classifier: EmotionClassifier, table: Table, target: str | None, *, role: str, strict: bool
) -> None:
    """Write a table with the columns `label`, `confidence` and `omitted` added, or anew where it has them.

    Raises UsageError where the file cannot be written.
    """
    texts = table.column("text")
    columns = [*table.columns, *(name for name in ADDED if name not in table.columns)]
    places = [columns.index(name) for name in ADDED]
    with _opened(target) as out, _bar(not out.isatty(), total=len(texts)) as bar:
        writer = csv.writer(out)
        writer.writerow(columns)
        for start in range(0, len(texts), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            emotions = await _classify_batch(classifier, texts[batch], role, strict, bar)
            for row, emotion in zip(table.rows[batch], emotions, strict=True):
                cells = row + [""] * (len(columns) - len(row))
                for at, name in zip(places, ADDED, strict=True):
                    cells[at] = str(emotion.data()[name]) if emotion else ""
                writer.writerow(cells)


async def _classify_batch(
    classifier: EmotionClassifier, texts: Sequence[str], role: str, strict: bool, bar: Any
) -> list[Emotion | None]:
    """The emotion of each text, None for one without words."""
    filled = list(filter(normalize_text, texts))
    emotions = iter(await classifier.classify_many(filled, strict=strict, role=role))
    bar.update(len(texts))
    return [next(emotions) if normalize_text(text) else None for text in texts]


def _row(text: str, emotion: Emotion | None, explanation: Explanation | None) -> dict[str, Any]:
    row = {"text": text, **(emotion.data() if emotion else dict.fromkeys(NOTHING))}
    if explanation is not None:
        row |= {"evidence": explanation.data(), "explanation": explanation_text(explanation)}
    return row


def _bar(shown: bool, total: int | None = None) -> Any:
    """A bar on standard error, only where that is a terminal, and `shown` where no output runs through it."""
    return tqdm(total=total, unit=" texts", disable=not (shown and sys.stderr.isatty()))


@contextlib.contextmanager
def _opened(target: str | None) -> Iterator[TextIO]:
    if target is None or target == "-":
        yield sys.stdout
        return
    try:
        file = open(target, "w", encoding="utf-8", newline="")  # noqa: SIM115  # closed below
    except OSError as problem:
        raise UsageError(f"{target} cannot be written: {problem.strerror}") from None
    with file:
        yield file
