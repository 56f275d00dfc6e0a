"""What supervisors, load balancers and Prometheus read."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from running_site import Site

from bot.app import metrics
from bot.engine import EngineBusy


async def test_alive_and_ready_are_two_things(site: Site) -> None:
    async with site.http.get(site.url + "/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ready")
    site.parts["slack"] = site.parts["storage"] = False
    async with site.http.get(site.url + "/readyz") as answer:
        found = await answer.json()
        assert (answer.status, found["status"], answer.headers["Retry-After"]) == (503, "not ready", "3")
        assert found["parts"] == {"model": True, "storage": False, "slack": False}
        assert found["error"] == {"code": "not_ready", "message": "not ready: storage, slack"}
    async with site.http.get(site.url + "/healthz") as answer:
        assert answer.status == 200


async def test_requests_are_counted_by_how_they_ended(site: Site) -> None:
    before = await _read(site)
    await site.infer("secret words", mode="chat")
    await site.infer("", mode="chat")
    site.engine.problem = EngineBusy(1)
    await site.infer("x", mode="chat")
    site.engine.problem = ValueError("broken")
    await site.infer("x", mode="chat")
    after = await _read(site)

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("bot_requests_total", surface="infer", outcome="answered") == 1
    assert grown("bot_requests_total", surface="infer", outcome="busy") == 1
    assert grown("bot_requests_total", surface="infer", outcome="failed") == 1
    assert grown("bot_request_seconds_count", surface="infer") == 3
    assert grown("bot_first_token_seconds_count", surface="infer") == 1
    assert grown("bot_tokens_total", surface="infer", kind="completion") == 4
    async with site.http.get(site.url + "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "secret words" not in await answer.text()


async def test_every_refusal_is_counted_by_its_kind(site: Site) -> None:
    before = await _read(site)
    for _ in range(3):
        await site.post("/v1/chat/completions", {"messages": []})
    await site.post("/v1/chat/completions", {}, Origin="http://evil.example")
    await site.post("/api/infer", {"text": 5})
    await site.post("/api/nothing", {})
    site.engine.problem = EngineBusy(1)
    await site.infer("x", mode="chat")
    after = await _read(site)
    grown = {
        tuple(dict(key[1])[name] for name in ("surface", "status", "code")): value - before.get(key, 0.0)
        for key, value in after.items()
        if key[0] == "bot_http_errors_total" and value > before.get(key, 0.0)
    }
    assert grown == {
        ("openai", "400", "bad_request"): 3,
        ("openai", "403", "wrong_origin"): 1,
        ("infer", "400", "bad_request"): 1,
        ("infer", "404", "not_found"): 1,
        ("infer", "503", "busy"): 1,
    }


async def test_what_was_given_up_counts_as_cancelled() -> None:
    started = asyncio.Event()

    async def work() -> None:
        with metrics.watch("trial"):
            started.set()
            await asyncio.sleep(60)

    task = asyncio.ensure_future(work())
    await started.wait()
    assert 'bot_requests_running{surface="trial"} 1.0' in metrics.exposition().decode()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = metrics.exposition().decode()
    assert 'bot_requests_total{outcome="cancelled",surface="trial"} 1.0' in found
    assert 'bot_requests_running{surface="trial"} 0.0' in found


async def _read(site: Site) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample at /metrics, read by Prometheus's own parser."""
    async with site.http.get(site.url + "/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
