"""`feedback`: print the thumbs up and down that people gave."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict

from bot.cli.options import visible
from bot.storage import Storage
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Print them."""
    asyncio.run(print_feedback(settings, as_json=options.json))


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
    line = visible(" ".join((text or "").split()))
    return line if len(line) <= 100 else line[:99] + "…"
