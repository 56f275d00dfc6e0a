"""`doctor`: look at everything the bot needs, and say what mends it."""

from __future__ import annotations

import argparse
import asyncio

from bot.cli.options import FAILED
from bot.doctor import report
from config.settings import Settings


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Print the findings; the exit code says whether one is broken."""
    return 0 if asyncio.run(report(settings, as_json=options.json)) else FAILED
