"""The short form of `benchmarks/soak.py`."""

from __future__ import annotations

from pathlib import Path

from storm import Storm

from bot.sandbox import Sandbox


async def test_a_short_storm_loses_and_doubles_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    storm = Storm(sandbox, tmp_path / "bot.sqlite3", pace=0.25, calm=1.0, hurry=True, seed=7)
    figures = await storm.run(10, requests=30, faults=5)
    assert (figures.doubles, figures.losses, figures.unfinished) == (0, 0, 0), figures
    assert figures.memory_end < figures.memory_start + 100
