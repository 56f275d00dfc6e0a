"""`emotion`: classify a text, lines from standard input, or a CSV file."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from bot.cli.model import UsageError, opened_engine, role_named
from bot.emotion import Emotion, EmotionClassifier, EmptyText, Explanation
from bot.emotion.sentences import emotion_line, explanation_text, label_aside, omitted_text
from bot.roles import Role, load_roles
from config.settings import Settings
from config.strings import Strings, language_of_terminal

BATCH_SIZE = 32
NOTHING = ("label", "confidence", "scores", "omitted")  # null for a text with nothing in it


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Classify what the options name."""
    check_options(options)
    roles = load_roles()
    role = roles[role_named(roles, options.role, classifies=True)]

    async def work() -> None:
        async with opened_engine(settings) as (engine, directory):
            await classify(EmotionClassifier(engine, roles, directory), role, options)

    asyncio.run(work())


def check_options(options: argparse.Namespace) -> None:
    """Refuse what `emotion` cannot do, before a model is loaded for it. Raises UsageError and EmptyText."""
    if options.csv is None and options.out is not None:
        raise UsageError("--out goes with --csv")
    if options.csv is not None and (options.json or options.explain):
        raise UsageError("--csv writes CSV: leave --json and --explain out")
    if options.text is not None and not options.text.strip():
        raise EmptyText
    if options.csv not in (None, "-") and not Path(options.csv).is_file():
        raise UsageError(f"{options.csv} cannot be read: there is no such file")


async def classify(classifier: EmotionClassifier, role: Role, options: argparse.Namespace) -> None:
    """Classify a text, lines or a CSV file by `role`, as the options say."""
    if options.csv is not None:
        await classify_csv(classifier, options.csv, options.out, role=role.name, strict=options.strict)
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
        rows = iter(line.rstrip("\r\n") for line in lines)
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


async def classify_csv(
    classifier: EmotionClassifier, source: str, target: str | None, *, role: str, strict: bool
) -> None:
    """Copy a CSV file, `-` for standard input, with the columns `label`, `confidence` and `omitted` added.

    Raises UsageError where the file cannot be read or has no column `text`.
    """
    try:
        data = sys.stdin.read() if source == "-" else _read(source)
    except (OSError, UnicodeDecodeError) as problem:
        raise UsageError(f"{source} cannot be read: {problem}") from None
    reader = csv.DictReader(io.StringIO(data.removeprefix("\ufeff"), newline=""))
    columns = list(reader.fieldnames or ())
    if "text" not in columns:
        raise UsageError(f"{source} has no column `text`; it has: {', '.join(columns) or 'none'}")
    rows = [{name: row.get(name) or "" for name in columns} for row in reader]
    with _opened(target) as out, _bar(not out.isatty(), total=len(rows)) as bar:
        writer = csv.DictWriter(out, list(dict.fromkeys([*columns, "label", "confidence", "omitted"])))
        writer.writeheader()
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            texts = [row["text"] for row in batch]
            emotions = await _classify_batch(classifier, texts, role, strict, bar)
            for row, emotion in zip(batch, emotions, strict=True):
                row["label"] = emotion.label if emotion else ""
                row["confidence"] = str(emotion.data()["confidence"]) if emotion else ""
                row["omitted"] = str(emotion.omitted) if emotion else ""
                writer.writerow(row)


async def _classify_batch(
    classifier: EmotionClassifier, texts: Sequence[str], role: str, strict: bool, bar: Any
) -> list[Emotion | None]:
    """The emotion of each text, None for an empty one."""
    filled = [text for text in texts if text.strip()]
    emotions = iter(await classifier.classify_many(filled, strict=strict, role=role))
    bar.update(len(texts))
    return [next(emotions) if text.strip() else None for text in texts]


def _row(text: str, emotion: Emotion | None, explanation: Explanation | None) -> dict[str, Any]:
    row = {"text": text, **(emotion.data() if emotion else dict.fromkeys(NOTHING))}
    if explanation is not None:
        row |= {"evidence": explanation.data(), "explanation": explanation_text(explanation)}
    return row


def _bar(shown: bool, total: int | None = None) -> Any:
    """A bar on standard error, only where that is a terminal, and `shown` where no output runs through it."""
    return tqdm(total=total, unit=" texts", disable=not (shown and sys.stderr.isatty()))


def _read(source: str) -> str:
    with open(source, encoding="utf-8", newline="") as file:
        return file.read()


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
