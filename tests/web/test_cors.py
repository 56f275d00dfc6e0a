"""Pages of other origins may use the API where ALLOWED_ORIGINS names them, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openai_server import Server, serving
from playwright.async_api import Browser
from running_site import ScriptedEngine, Site, open_site

from bot.roles import Role
from config.settings import Settings, SettingsError, check_exposure, load

EXTENSION = "chrome-extension://abcdefghijklmnop"
TOKEN = "a-token-that-is-long-enough"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    "Access-Control-Request-Private-Network": "true",
}


@pytest.fixture
async def opened(tmp_path: Path, roles: dict[str, Role]) -> AsyncIterator[Site]:
    """A site with a token that one extension and one page may use."""
    origins = (EXTENSION, "http://Lan.example:3000")
    async with open_site(tmp_path, ScriptedEngine(), roles, allowed_origins=origins, api_token=TOKEN) as site:
        yield site


@pytest.mark.parametrize("origin", [EXTENSION, "http://lan.example:3000"])
async def test_an_allowed_origin_may_ask_and_read_also_what_is_refused(opened: Site, origin: str) -> None:
    url = f"{opened.url}/v1/chat/completions"
    async with opened.http.options(url, headers={"Origin": origin, **PREFLIGHT}) as asked:
        assert asked.status == 204
        assert asked.headers["Access-Control-Allow-Origin"] == origin
        assert asked.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
        assert asked.headers["Access-Control-Allow-Private-Network"] == "true"
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    body = {"messages": [{"role": "user", "content": "hi"}]}
    for token, stream, status in ((TOKEN, False, 200), (TOKEN, True, 200), ("wrong", False, 401)):
        sent = {"Origin": origin, "Authorization": f"Bearer {token}", "Sec-Fetch-Site": "cross-site"}
        async with opened.http.post(url, json=body | {"stream": stream}, headers=sent) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["http://lan.example", "https://lan.example:3000", "chrome-extension://other", "null", "http://["],
)
async def test_every_other_origin_is_refused_as_before(opened: Site, origin: str) -> None:
    url = f"{opened.url}/v1/models"
    for headers in ({}, PREFLIGHT):
        method = opened.http.options if headers else opened.http.get
        async with method(url, headers={"Origin": origin, **headers}) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (403, "wrong_origin")
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_an_allowed_origin_does_not_excuse_a_foreign_host(opened: Site) -> None:
    sent = {"Origin": EXTENSION, "Host": "evil.example", "Authorization": f"Bearer {TOKEN}"}
    async with opened.http.get(f"{opened.url}/v1/models", headers=sent) as answer:
        assert (await answer.json())["error"]["code"] == "wrong_host"


@pytest.mark.browser
async def test_a_real_page_reads_an_answer_only_where_it_is_let_in(
    tmp_path: Path, roles: dict[str, Role], browser: Browser
) -> None:
    fetched = """async (url) => {
        try { return (await (await fetch(url, {method: "POST", headers: {"Content-Type": "application/json"},
              body: JSON.stringify({messages: [{role: "user", content: "hi"}]})})).json()).model }
        catch (problem) { return problem.name }
    }"""
    async with serving(Server()) as elsewhere:
        page = await browser.new_page()
        await page.goto(f"{elsewhere.url}/models")
        for origins, seen in (((elsewhere.url.removesuffix("/v1"),), "scripted"), ((), "TypeError")):
            async with open_site(tmp_path, ScriptedEngine(), roles, allowed_origins=origins) as site:
                assert await page.evaluate(fetched, f"{site.url}/v1/chat/completions") == seen
        await page.close()


@pytest.mark.parametrize("wrong", ["lan.example", "http://lan.example/chat", "null", "http://a b", "http://"])
def test_what_is_no_origin_is_refused_at_the_start(wrong: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS must hold origins like"):
        load({"ALLOWED_ORIGINS": f"http://fine.example:8080, {wrong}"}, dotenv=None)


def test_every_origin_may_be_let_in_only_with_a_token() -> None:
    found = load({"ALLOWED_ORIGINS": "*"}, dotenv=None)
    with pytest.raises(SettingsError, match=r"ALLOWED_ORIGINS=\* lets every page in"):
        check_exposure(found)
    check_exposure(Settings(allowed_origins=("*",), api_token=TOKEN))
