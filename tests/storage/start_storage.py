"""Opens the database of DATABASE_URL at a moment that several such processes agree on, and closes it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from bot.storage import Storage


async def main() -> None:
    """Say that it is ready, wait for the word, open."""
    print("ready", flush=True)
    sys.stdin.readline()
    storage = await Storage.open(os.environ["DATABASE_URL"])
    await storage.check()
    await storage.close()


asyncio.run(main())
