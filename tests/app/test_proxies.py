"""Which address is reached through which proxy, by the environment's variables."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from counting_proxy import counting_proxy

from bot.app.proxies import open_url, proxy_for
from config.settings import ROOT

PROXY = "http://proxy.example:3128"
Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets the proxy variables given, and no others."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1",
        "https://localhost/v1",
        "ws://127.0.0.1:9/link",
        "http://127.8.0.3/",
        "http://[::1]:80/",
        "http://api.localhost:3000/",
        "http://LOCALHOST./",
    ],
)
def test_this_machine_is_reached_directly(environment: Environment, url: str) -> None:
    environment(HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY)
    assert proxy_for(url) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_each_scheme_has_its_own_proxy_and_a_socket_that_of_its_handshake(
    environment: Environment, name: str
) -> None:
    environment(**{name: PROXY})
    assert proxy_for("https://slack.com/api/") == PROXY
    assert proxy_for("wss://wss-primary.slack.com/link?ticket=1") == PROXY
    assert proxy_for("http://llm.example/v1") is None
    assert proxy_for("ws://llm.example/v1") is None


def test_lower_case_wins_and_an_empty_variable_unsets(environment: Environment) -> None:
    environment(HTTPS_PROXY=PROXY, https_proxy="")
    assert proxy_for("https://slack.com/") is None


def test_a_proxy_without_a_scheme_is_an_http_proxy(environment: Environment) -> None:
    environment(HTTPS_PROXY="proxy.example:3128")
    assert proxy_for("https://slack.com/") == PROXY


@pytest.mark.parametrize(
    ("exempt", "url", "direct"),
    [
        ("*", "https://slack.com/", True),
        ("slack.com", "https://files.slack.com/upload", True),
        (".slack.com", "https://slack.com/", True),
        ("other.example, slack.com", "wss://wss-primary.slack.com/", True),
        ("slack.com", "https://notslack.com/", False),
        ("SLACK.com", "https://slack.com/", True),
        ("llm.example:8443", "https://llm.example:8443/v1", True),
        ("llm.example:8443", "https://llm.example/v1", False),
        ("10.0.0.0/8", "https://10.1.2.3:8080/v1", True),
        ("10.0.0.0/8", "https://11.1.2.3/v1", False),
        ("10.0.0.0/8,no/network", "https://llm.example/v1", False),
        ("fd00::/8", "https://[fd12::1]/v1", True),
        ("", "https://slack.com/", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_exempts_names_their_ends_networks_or_all(
    environment: Environment, name: str, exempt: str, url: str, direct: bool
) -> None:
    environment(HTTPS_PROXY=PROXY, **{name: exempt})
    assert (proxy_for(url) is None) == direct


async def test_a_blocking_request_goes_where_the_variables_say(environment: Environment) -> None:
    async with counting_proxy() as proxy, counting_proxy() as server:
        environment(HTTP_PROXY=proxy.url)
        for url in ("http://llm.example/v1/models", f"{server.url}/readyz"):
            with pytest.raises(urllib.error.HTTPError, match="502"):
                await asyncio.to_thread(open_url, urllib.request.Request(url), 30)
        assert proxy.asked == ["GET http://llm.example/v1/models HTTP/1.1"]
        assert server.asked == ["GET /readyz HTTP/1.1"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": PROXY, "no_proxy": "a.example,localhost"}, "a.example,localhost,127.0.0.1,::1"),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "*"),
    ],
)
def test_what_reads_the_variables_itself_reaches_this_machine_directly_too(
    environment: Environment, given: dict[str, str], found: str | None
) -> None:
    environment(**given)
    code = (
        "import os; from bot.cli.main import main; main(['manifest', '--url']);"
        "print(os.environ.get('no_proxy', os.environ.get('NO_PROXY')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == str(found)
