"""The commands `emotion` and `chat`: the roles without Slack and without a browser."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import io
import json
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from bot.conversation import Conversations
from bot.emotion import Emotion, Emotions, EmptyText, Explanation
from bot.roles import Role
from bot.storage import Storage
from config.settings import Settings

BATCH = 32


class UsageError(ValueError):
    """The command line asks for something that is not there; the message says the mend."""


def role_named(roles: dict[str, Role], name: str, *, classifies: bool) -> str:
    """`name`, if there is such a role. Raises UsageError naming those that there are."""
    known = [each.name for each in roles.values() if each.classifies == classifies]
    if name not in known:
        what = "with labels" if classifies else "that answers in words"
        raise UsageError(f"there is no role {name!r} {what}; there are: {', '.join(known)}")
    return name


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


async def emotion(emotions: Emotions, options: argparse.Namespace) -> None:
    """The command `emotion`."""
    how = {"role": options.role, "strict": options.strict}
    if options.csv is not None:
        await judge_csv(emotions, options.csv, options.out, **how)
        return
    how |= {"explain": options.explain, "as_json": options.json}
    if options.text == "-":
        await judge_lines(emotions, sys.stdin, **how)
    else:
        await judge_text(emotions, options.text, **how)


async def judge_text(
    emotions: Emotions, text: str, *, role: str, strict: bool, explain: bool, as_json: bool
) -> None:
    """Print the judgement of one text. Raises EmptyText."""
    emotion = await emotions.classify(text, strict=strict, role=role)
    explanation = await emotions.explain(text, emotion, role=role) if explain else None
    if as_json:
        print(json.dumps(_row(text, emotion, explanation), ensure_ascii=False))
        return
    print(f"{emotions.line(emotion, role=role)}  {emotion.confidence:.0%}")
    if explanation is not None:
        print(explanation.text)


async def judge_lines(
    emotions: Emotions, lines: TextIO, *, role: str, strict: bool, explain: bool, as_json: bool
) -> None:
    """Print label, confidence and text of each line, or a JSON object; empty lines stay empty."""
    size = 1 if lines.isatty() else BATCH
    with _bar(not lines.isatty() and not sys.stdout.isatty()) as bar:
        rows = iter(line.rstrip("\r\n") for line in lines)
        while batch := await asyncio.to_thread(lambda: list(islice(rows, size))):
            found = await _judge(emotions, batch, role, strict, bar)
            for text, emotion in zip(batch, found, strict=True):
                explanation = None
                if explain and emotion is not None:
                    explanation = await emotions.explain(text, emotion, role=role)
                if as_json:
                    print(json.dumps(_row(text, emotion, explanation), ensure_ascii=False), flush=True)
                elif emotion is None:
                    print(flush=True)
                else:
                    told = f"\t{explanation.text}" if explanation else ""
                    print(
                        f"{emotion.emoji} {emotion.label}\t{emotion.confidence:.0%}\t{text}{told}", flush=True
                    )


async def judge_csv(emotions: Emotions, source: str, target: str | None, *, role: str, strict: bool) -> None:
    """Copy a CSV file, `-` for standard input, with the columns `label` and `confidence` added.

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
        writer = csv.DictWriter(out, list(dict.fromkeys([*columns, "label", "confidence"])))
        writer.writeheader()
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            found = await _judge(emotions, [row["text"] for row in batch], role, strict, bar)
            for row, emotion in zip(batch, found, strict=True):
                row["label"] = emotion.label if emotion else ""
                row["confidence"] = str(emotion.data()["confidence"]) if emotion else ""
                writer.writerow(row)


async def converse(conversations: Conversations, text: str | None, *, role: str) -> None:
    """Answer `text`, or each line that is typed until the end of input. Ctrl-C ends an answer."""
    thread = f"cli:{secrets.token_urlsafe(9)}"
    if text is not None:
        await _say(conversations, thread, text, role)
        return
    shown = sys.stdin.isatty()
    if shown:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # importing it gives input() a history and editing keys
        print("Write a message; Ctrl-C ends an answer, Ctrl-D the conversation.")
    while True:
        try:
            line = await asyncio.to_thread(input, "> " if shown else "")
        except (EOFError, KeyboardInterrupt):
            if shown:
                print()
            return
        if line.strip():
            await _say(conversations, thread, line.strip(), role)


async def _say(conversations: Conversations, thread: str, text: str, role: str) -> None:
    async with _interruptible(), aclosing(conversations.reply(thread, text, role=role)) as reply:  # type: ignore[type-var]  # it is a generator
        async for piece in reply:
            print(_visible(piece), end="", flush=True)
    print()


@asynccontextmanager
async def _interruptible() -> AsyncIterator[None]:
    """Let Ctrl-C end what runs inside, and nothing else."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    pressed = False

    def press() -> None:
        nonlocal pressed
        pressed = True
        task.cancel()

    with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the program
        loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield
    except asyncio.CancelledError:
        if not pressed:
            raise
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


async def _judge(
    emotions: Emotions, texts: Sequence[str], role: str, strict: bool, bar: Any
) -> list[Emotion | None]:
    """The emotion of each text, None for an empty one."""
    given = [text for text in texts if text.strip()]
    found = iter(await emotions.classify_many(given, strict=strict, role=role))
    bar.update(len(texts))
    return [next(found) if text.strip() else None for text in texts]


def _row(text: str, emotion: Emotion | None, explanation: Explanation | None) -> dict[str, Any]:
    empty = {"label": None, "confidence": None, "scores": None}
    return {
        "text": text,
        **(emotion.data() if emotion else empty),
        **(explanation.data() if explanation else {}),
    }


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


def _visible(text: str) -> str:
    """Text without the control characters that a terminal obeys."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or ord(c) > 0x9F))


async def print_feedback(settings: Settings, *, as_json: bool) -> None:
    """Print every thumb up and down with what was asked and answered, oldest first."""
    storage = await Storage.open(settings.database_url)
    try:
        given = await storage.feedback()
    finally:
        await storage.close()
    for each in given:
        if as_json:
            print(json.dumps(asdict(each), ensure_ascii=False))
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.at))
        print(f"{'👍' if each.verdict > 0 else '👎'} {when} {each.user}")
        print(f"   asked:    {_short(each.question)}\n   answered: {_short(each.answer)}")
    if not as_json:
        ups = sum(each.verdict > 0 for each in given)
        print(f"{ups} up, {len(given) - ups} down")


def _short(text: str | None) -> str:
    line = _visible(" ".join((text or "").split()))
    return line if len(line) <= 100 else line[:99] + "…"
