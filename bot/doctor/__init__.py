"""`doctor`: looks at everything the bot needs, one line each, with the mend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict

from bot.doctor.findings import Finding, broken
from config.settings import Settings

__all__ = ["Finding", "examine", "report"]


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding, as soon as it is known. Nothing is changed but the database brought up to date."""
    from bot.doctor import machine, model, server, slack

    groups = [machine.examine, model.examine, server.examine]
    for group in groups:
        findings = iter(group(settings))
        while True:
            try:
                finding = await asyncio.to_thread(next, findings, None)
            except Exception as problem:  # what looks must not fall over what it looks at
                finding = broken(
                    group.__module__.rpartition(".")[2],
                    f"could not be looked at ({type(problem).__name__}: {problem})",
                    "this should not happen; please report it",
                )
                yield finding
                break
            if finding is None:
                break
            yield finding
    yield await server.database(settings)
    async for finding in slack.examine(settings):
        yield finding


async def report(settings: Settings, *, as_json: bool) -> bool:
    """Print the findings; whether nothing is broken."""
    found = []
    async for finding in examine(settings):
        found.append(finding)
        if not as_json:
            print(finding.line(), flush=True)
    counts = {state: sum(each.state == state for each in found) for state in ("broken", "warning")}
    if as_json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=1))
    else:
        print(f"{counts['broken']} broken, {counts['warning']} doubtful, {len(found)} looked at")
    return not counts["broken"]
