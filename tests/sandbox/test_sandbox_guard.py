"""Nobody but this machine's programs and the sandbox's own page gets in."""

from __future__ import annotations

import aiohttp
import pytest

from bot.sandbox import Sandbox


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 403),
        ("Host", "127.0.0.1:1", 403),
        ("Host", "localhost.evil.example", 403),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "OWN", 200),
    ],
)
async def test_foreign_hosts_and_origins_are_refused(
    sandbox: Sandbox, header: str, value: str, status: int
) -> None:
    value = sandbox.page_url.rstrip("/") if value == "OWN" else value
    async with (
        aiohttp.ClientSession() as session,
        session.get(sandbox.page_url, headers={header: value}) as answer,
    ):
        assert answer.status == status


async def test_the_page_may_load_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(sandbox.page_url) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
        async with session.get(f"{sandbox.page_url}page/..%2fserver.py") as answer:
            assert answer.status == 404
        body = '{"user": "Ada", "channel": "general", "text": "forged"}'
        async with session.post(f"{sandbox.page_url}people/post", data=body) as answer:
            assert answer.status == 415  # a form of another site cannot send JSON
        async with session.post(f"{sandbox.page_url}people/post", json={"user": "Ada"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "invalid_arguments")
    assert sandbox.messages("general") == []
