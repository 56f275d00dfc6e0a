"""POST /api/lines: each text judged by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from patience import wait_until
from prometheus_client import REGISTRY
from running_site import Site

from bot.emotion import EmotionClassifier
from bot.engine import EngineBusy, Prompt
from bot.web.json_body import MAX_SHORT
from bot.web.lines import MAX_LINES


async def _judged(site: Site, lines: Sequence[object], **headers: str) -> list[tuple[str, Any]]:
    """The events as (name, data)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.http.post(f"{site.url}/api/lines", json={"lines": lines}, headers=named) as answer:
        assert answer.status == 200
        parts = (await answer.text()).strip().split("\n\n")
    fields = [dict(line.split(": ", 1) for line in part.split("\n")) for part in parts]
    return [(each["event"], json.loads(each["data"])) for each in fields]


async def test_each_line_has_its_label_in_its_place(site: Site) -> None:
    texts = ["fine", "- late again", "\u200b", "好吃"] * 5
    events = await _judged(site, texts, Accept_Language="en")
    assert events[-1] == ("done", {"count": 20})
    rows = [row for name, data in events[:-1] if name == "lines" for row in data["lines"]]
    assert [row and (row["emoji"], row["label"], row["word"]) for row in rows] == [
        ("😄", "正面", "positive"),
        ("😞", "负面", "negative"),
        None,
        ("😄", "正面", "positive"),
    ] * 5
    assert all(0 < row["confidence"] <= 1 for row in rows if row)


async def test_lines_come_while_others_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, score = asyncio.Event(), site.engine.score

    async def slow(prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        if "wait" in prompt.messages[-1].content:
            await gate.wait()
        return await score(prompt, labels, exact=exact)

    monkeypatch.setattr(site.engine, "score", slow)
    lines = ["soon"] * 8 + ["wait"]
    async with site.http.post(f"{site.url}/api/lines", json={"lines": lines}) as answer:
        first = await answer.content.readuntil(b"\n\n")
        assert len(json.loads(first.split(b"data: ")[1])["lines"]) == 8
        gate.set()
        assert b"event: done" in await answer.content.read()


async def test_what_breaks_the_work_off_is_told_and_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = site.engine.score

    async def busy_later(prompt: Prompt, labels: Sequence[str], *, exact: bool = True) -> list[float]:
        if "later" in prompt.messages[-1].content:
            raise EngineBusy(1)
        return await score(prompt, labels, exact=exact)

    def counted() -> float:
        labels = {"surface": "infer", "status": "503", "code": "busy"}
        return REGISTRY.get_sample_value("bot_http_errors_total", labels) or 0.0

    monkeypatch.setattr(site.engine, "score", busy_later)
    before = counted()
    events = await _judged(site, ["soon"] * 8 + ["later"])
    assert [name for name, _ in events] == ["lines", "error"]
    assert events[-1][1]["error"]["code"] == "busy"
    assert counted() == before + 1


async def test_a_client_that_goes_away_ends_the_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(self: EmotionClassifier, texts: Sequence[str], **_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(EmotionClassifier, "classify_many", never)
    asking = asyncio.ensure_future(_judged(site, ["one", "two"]))
    await wait_until(begun.is_set)
    asking.cancel()
    await wait_until(ended.is_set)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"lines": "one"}, 400, "must be a list of texts, not text"),
        ({"lines": []}, 400, "is empty"),
        ({"lines": ["fine", 7]}, 400, "`lines[1]` must be text, not a number"),
        ({"lines": ["x"] * (MAX_LINES + 1)}, 413, "at most 1000"),
        ({"lines": ["fine", "x" * (MAX_SHORT + 1)]}, 413, "`lines[1]` has 20001 characters; at most 20000"),
        ({}, 400, '`lines` is missing: send {"lines": ['),
        ({"line": ["fine"]}, 400, "`line` is not known here; known are lines"),
        ({"lines": ["fine"], "strict": True}, 400, "`strict` is not known here"),  # it would have no effect
    ],
)
async def test_what_cannot_be_judged_is_said(
    site: Site, body: dict[str, Any], status: int, said: str
) -> None:
    got, found, _ = await site.post("/api/lines", body)
    assert got == status
    assert said in found["error"]["message"]
