"""Who may use the page and API, and what every answer carries."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from patience import PATIENCE, wait_until
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role
from bot.web import guard
from bot.web.json_body import MAX_BODY
from config.settings import Settings, SettingsError, check_exposure

TOKEN = "a-token-that-is-long-enough"
ASK = {"text": "#EMOTION#好"}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "["]
)
async def test_a_rebound_name_is_refused(site: Site, host: str) -> None:
    for path in ("/", "/api/infer", "/v1/models", "/metrics"):
        method = site.http.post if path == "/api/infer" else site.http.get
        async with method(site.url + path, headers={"Host": host}) as answer:
            assert answer.status == 403
            assert (await answer.json())["error"]["code"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:80", "[::1]:8000"])
async def test_this_machine_by_any_of_its_names_is_served(site: Site, host: str) -> None:
    async with site.http.get(site.url + "/healthz", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_an_address_of_the_network_is_no_name_of_a_local_bot(site: Site) -> None:
    async with site.http.get(site.url + "/healthz", headers={"Host": "192.168.1.7:8000"}) as answer:
        assert answer.status == 403


async def test_names_in_allowed_hosts_are_served(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with (
        open_site(tmp_path, ScriptedEngine(), roles, allowed_hosts=("Bot.example",)) as site,
        site.http.get(site.url + "/healthz", headers={"Host": "bot.example:443"}) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_pages_of_other_sites_are_refused(site: Site, headers: dict[str, str]) -> None:
    status, found, _ = await site.post("/api/infer", ASK, **headers)
    assert (status, found["error"]["code"]) == (403, "wrong_origin")


async def test_the_bots_own_page_is_let_in(site: Site) -> None:
    status, _, _ = await site.post("/api/infer", ASK, Origin=site.url, Sec_Fetch_Site="same-origin")
    assert status == 200


async def test_the_token_is_demanded_where_one_is_set(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, api_token=TOKEN) as site:
        for path in ("/api/infer", "/v1/chat/completions"):
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
                status, found, answer = await site.post(path, ASK, **given)
                assert (status, found["error"]["code"]) == (401, "unauthorized")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert TOKEN not in await answer.text()
        for path, expected in (("/metrics", 401), ("/v1/models", 401), ("/", 200), ("/healthz", 200)):
            async with site.http.get(site.url + path) as got:
                assert (path, got.status) == (path, expected)
        status, _, _ = await site.post("/api/infer", ASK, Authorization=f"Bearer {TOKEN}")
        assert status == 200


async def test_the_token_is_compared_in_constant_time(
    tmp_path: Path, roles: dict[str, Role], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = guard.hmac.compare_digest

    def noted(left: Any, right: Any) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(guard.hmac, "compare_digest", noted)
    async with open_site(tmp_path, ScriptedEngine(), roles, api_token=TOKEN) as site:
        for given, status in ((TOKEN, 200), (TOKEN[:-1], 401), ("ö" * 9, 401)):
            found, _, _ = await site.post("/api/infer", ASK, Authorization=f"Bearer {given}")
            assert found == status
    assert [left for left, _ in compared] == [TOKEN.encode(), TOKEN[:-1].encode(), "ö".encode() * 9]


def test_beyond_this_machine_a_token_is_demanded_before_anything_starts() -> None:
    for host in ("0.0.0.0", "192.168.1.7", "::"):
        with pytest.raises(SettingsError, match="API_TOKEN is not set"):
            check_exposure(Settings(host=host))
        check_exposure(Settings(host=host, api_token=TOKEN))
    for host in ("127.0.0.1", "localhost", "::1"):
        check_exposure(Settings(host=host))


async def test_a_large_body_is_not_read(site: Site) -> None:
    data = b'{"text": "' + b"a" * MAX_BODY + b'"}'
    async with site.http.post(f"{site.url}/api/infer", data=data) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "too_large"

    async def endless() -> Any:
        for _ in range(64):
            yield b"a" * 65536

    async with site.http.post(f"{site.url}/api/infer", data=endless()) as answer:
        assert answer.status == 413


async def test_a_body_that_never_comes_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.web.json_body.READ_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(site.url).port)
    writer.write(b"POST /api/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
    answer = await reader.read(2000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer
    assert b"did not arrive" in answer
    writer.close()


async def test_more_requests_than_allowed_wait_a_moment(tmp_path: Path, roles: dict[str, Role]) -> None:
    async with open_site(tmp_path, ScriptedEngine(), roles, rate_limit=3) as site:
        found = [await site.post("/api/infer", ASK) for _ in range(5)]
        assert [status for status, _, _ in found] == [200, 200, 200, 429, 429]
        assert 1 <= int(found[-1][2].headers["Retry-After"]) <= 20
        assert found[-1][1]["error"]["code"] == "rate_limited"
        async with site.http.get(site.url + "/healthz") as answer:
            assert answer.status == 200


async def test_no_more_requests_run_at_once_than_the_queue_holds(
    tmp_path: Path, roles: dict[str, Role]
) -> None:
    engine = ScriptedEngine(gate=asyncio.Event())
    async with open_site(tmp_path, engine, roles, max_queue=2) as site:
        slow = [asyncio.ensure_future(site.infer("a b", mode="chat")) for _ in range(2)]
        await wait_until(lambda: len(engine.prompts) == 2)
        status, found, answer = await site.post("/api/infer", ASK)
        assert (status, found["error"]["code"], answer.headers["Retry-After"]) == (503, "busy", "2")
        assert engine.gate is not None
        engine.gate.set()
        assert [status for status, _ in await asyncio.gather(*slow)] == [200, 200]
        assert (await site.infer("a"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/healthz", "/metrics", "/nothing", "/favicon.ico"])
async def test_every_answer_carries_the_security_headers(site: Site, path: str) -> None:
    async with site.http.get(site.url + path, allow_redirects=False) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert len(answer.headers["X-Request-Id"]) == 12
        assert answer.headers["Server"] == "bot"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/page/..%2f..%2f.env", 404, "not_found"),
        ("GET", "/page/index.html", 404, "not_found"),
        ("GET", "/api/infer", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
async def test_wrong_addresses_and_methods_are_told_in_json(
    site: Site, method: str, path: str, status: int, code: str
) -> None:
    async with site.http.request(method, site.url + path) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == code


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/chat/completions/", "/chat/completions", "/api/tags", "//v1/models"]
)
async def test_who_guesses_an_address_is_told_those_that_there_are(site: Site, path: str) -> None:
    async with site.http.get(site.url + path) as answer:
        error = (await answer.json())["error"]
    assert error["message"].startswith(f"there is nothing at {path}; ")
    for there in ("POST /v1/chat/completions", "GET /v1/models", "POST /api/infer", "POST /api/lines"):
        assert there in error["message"]
    assert ("type" in error) == path.startswith("/v1")  # OpenAI's shape where its clients read it


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"POST /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\nConnection: close\r\n\r\n", 417),
    ],
)
async def test_what_the_framework_itself_refuses_is_told_in_json(
    site: Site, sent: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(site.url).port)
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    writer.close()


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_a_body_in_an_encoding_that_cannot_be_read_is_said_to_be_one(site: Site, encoding: str) -> None:
    status, found, _ = await site.post("/v1/chat/completions", {"messages": []}, Content_Encoding=encoding)
    assert status == 400
    assert "Content-Encoding" in found["error"]["message"]


async def test_what_is_no_http_gets_no_stack_trace(site: Site) -> None:
    port = urlsplit(site.url).port
    for sent in (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(4000), PATIENCE)
        assert b"Traceback" not in answer
        assert b"/bot/" not in answer
        writer.close()
    async with site.http.post(site.url + "/api/infer", data=json.dumps(ASK)) as again:
        assert again.status == 200
