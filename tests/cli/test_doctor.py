"""`doctor` names what is wrong and how it is mended."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from bot.doctor import examine, machine, model, report, server, slack
from bot.doctor.findings import Finding
from bot.engine.config.torch_needs import has_instructions
from bot.engine.kernels import bindings
from bot.engine.kernels.bindings import KernelsMissing, runnable
from bot.sandbox import Sandbox
from bot.sandbox.manifest import ALL_SCOPES, App
from config.settings import ROOT, Settings


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A workspace that gave the app every scope."""
    async with Sandbox(manifest=App()) as opened:
        yield opened


def connected(sandbox: Sandbox, **changes: str) -> Settings:
    """Settings with the sandbox's tokens."""
    settings = Settings(
        slack_api_url=sandbox.api_url,
        slack_bot_token=sandbox.bot_token,
        slack_app_token=sandbox.app_token,
    )
    return replace(settings, **changes)


async def asked(settings: Settings) -> list[Finding]:
    """What Slack says."""
    return [finding async for finding in slack.examine(settings)]


async def test_good_tokens_and_all_scopes_are_fine(sandbox: Sandbox) -> None:
    found = await asked(connected(sandbox))
    assert [finding.state for finding in found] == ["ok", "ok", "ok"]
    assert "in the workspace Sandbox" in found[0].said


async def test_each_missing_scope_is_named() -> None:
    scopes = tuple(scope for scope in ALL_SCOPES if scope not in ("chat:write", "im:history"))
    async with Sandbox(manifest=App(scopes=scopes)) as sandbox:
        found = [finding for finding in await asked(connected(sandbox)) if finding.state == "broken"]
    assert {finding.said for finding in found} == {"chat:write is missing", "im:history is missing"}
    assert all("OAuth & Permissions" in finding.mend for finding in found)


async def test_wrong_and_mixed_up_tokens_are_told_apart(sandbox: Sandbox) -> None:
    found = await asked(connected(sandbox, slack_bot_token="xoxb-wrong"))
    assert found[0].state == "broken"
    assert "refuses SLACK_BOT_TOKEN (invalid_auth)" in found[0].said
    found = await asked(connected(sandbox, slack_app_token=sandbox.bot_token))
    assert "refuses SLACK_APP_TOKEN (not_allowed_token_type)" in found[-1].said
    assert "mixed up" in found[-1].mend
    assert sandbox.bot_token not in "".join(finding.line() for finding in found)


async def test_a_slack_that_cannot_be_reached_is_said() -> None:
    settings = Settings(
        slack_api_url="http://127.0.0.1:1/api/", slack_bot_token="xoxb-a", slack_app_token="xapp-a"
    )
    (found,) = await asked(settings)
    assert found.state == "broken"
    assert "cannot be reached" in found.said


async def test_without_tokens_the_sandbox_is_announced() -> None:
    (found,) = await asked(Settings())
    assert (found.state, found.said) == ("ok", "no tokens are set: `run` starts the sandbox")


def test_the_machines_pitfalls_are_known() -> None:
    assert machine.python((3, 9), True).state == "broken"
    assert machine.python((3, 14), True).state == "broken"
    assert "64-bit" in machine.python((3, 11), False).mend
    assert machine.python((3, 12), True).state == "ok"
    assert machine.threads(8, 2).mend.startswith("set THREADS=2")
    assert machine.threads(0, 2).said == "2 of 2 cores for the model"
    assert machine.swap(10**9, 4 * 10**9).state == "warning"
    assert any(finding.subject == "wsl" for finding in machine.system("5.15.0-microsoft-standard-wsl2"))
    assert machine.packages().state == "ok"


PI_4 = {"fp", "asimd", "evtstrm", "crc32", "cpuid"}
PI_5 = PI_4 | {"atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc", "dcpop", "asimddp"}
PI_4_CPUINFO = f"""processor\t: 0
BogoMIPS\t: 108.00
Features\t: {" ".join(sorted(PI_4))}
CPU part\t: 0xd08
"""


def test_the_torch_that_is_pinned_for_arm_needs_atomics() -> None:
    assert not has_instructions("aarch64", PI_4, "2.10.0")
    assert not has_instructions("arm64", PI_4, "2.10.0+cpu")
    assert has_instructions("aarch64", PI_5, "2.10.0")
    assert has_instructions("aarch64", PI_4, "2.11.0")
    assert has_instructions("x86_64", {"sse2"}, "2.10.0")
    assert has_instructions("arm64", (), "2.10.0")  # a Mac tells none


def test_the_kernels_are_named_and_what_is_missing_has_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.kernels("auto").said.startswith(next(iter(runnable())))
    refused = machine.kernels("fast")
    assert refused.state == "broken"
    assert "KERNELS=fast" in refused.said
    assert "KERNELS" in refused.mend

    def missing() -> None:
        raise KernelsMissing("the kernels were not compiled")

    monkeypatch.setattr(bindings, "load_library", missing)
    found = machine.kernels("auto")
    assert found.state == "warning"
    assert "torch computes" in found.said
    assert "make setup" in found.mend


def test_why_plain_kernels_compute_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen, all that could be compiled, or all that the processor has."""
    every = bindings.all_kernels()
    plain = {"plain": every["plain"]}
    runnable_before = runnable()
    if len(runnable_before) > 1:
        found = machine.kernels("plain")
        assert found.state == "warning"
        assert "plain, as KERNELS says" in found.said
        assert "take KERNELS out" in found.mend
        monkeypatch.setattr(bindings, "all_kernels", lambda: plain)
        found = machine.kernels("auto")
        assert found.state == "warning"
        assert f"has {next(iter(runnable_before))}" in found.said
        assert "newer compiler" in found.mend
    monkeypatch.setattr(bindings, "all_kernels", lambda: plain)
    monkeypatch.setattr(bindings, "left_out", lambda: [])
    monkeypatch.setattr(machine, "left_out", lambda: [])
    for wanted in ("auto", "plain"):
        found = machine.kernels(wanted)
        assert "without vector instructions" in found.said
        assert "slowly" in found.mend


EXAMINE = """
import asyncio, io, platform, sys
from importlib import metadata
from types import SimpleNamespace
from bot.doctor import machine, report
from bot.engine.config import processor, torch_needs
from config.settings import Settings

platform.machine = lambda: "aarch64"
processor.open = lambda *_, **__: io.StringIO(sys.argv[1])
torch_needs.metadata = machine.metadata = SimpleNamespace(**{**vars(metadata), "version": lambda _: "2.10.0"})
settings = Settings(llm_url=sys.argv[2], port=0, database_url=sys.argv[3])
asyncio.run(report(settings, as_json=True))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("llm_url", ["", "http://127.0.0.1:1/v1"])
def test_on_a_raspberry_pi_4_the_doctor_says_it_without_loading_torch(llm_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMINE, PI_4_CPUINFO, llm_url, url(tmp_path / "a.sqlite3")],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert "2.10.0 does not start on this processor" in findings["torch"]["said"]
    assert findings["torch"]["state"] == "ok", "int8 and int4 do without"
    assert "slack" in findings, "the rest is looked at too"


def test_memory_is_compared_with_what_the_model_needs() -> None:
    assert model.memory(900, 4000, "int8").state == "ok"
    assert model.memory(900, 1000, "int8").state == "warning"
    assert "PRECISION=int4" in model.memory(2000, 1000, "bf16").mend
    assert "PRECISION" not in model.memory(2000, 1000, "int4").mend
    assert model.available() > 0


def test_a_model_that_is_not_there_is_broken(tmp_path: Path) -> None:
    (found,) = model.examine(Settings(model_dir=tmp_path / "none"))
    assert found.state == "broken"
    assert "fetch" in found.said
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (found,) = model.examine(Settings(model_dir=tmp_path))
    assert found.state == "broken"
    assert "config.json" in found.said


def test_a_server_that_does_not_answer_is_broken() -> None:
    found = model.server(Settings(llm_url="http://127.0.0.1:1/v1"))
    assert found.state == "broken"
    assert "start it, or correct LLM_URL" in found.mend


def test_a_taken_port_and_an_open_host_are_broken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = server.port(Settings(port=taken.getsockname()[1]))
        offered = int(found.mend.rpartition("PORT=")[2])
        assert offered > taken.getsockname()[1] + 1
    assert found.state == "broken"
    assert server.port(Settings(port=offered)).state == "ok"
    findings = {finding.subject: finding for finding in server.examine(Settings(host="0.0.0.0"))}
    assert findings["reach"].state == "broken"
    assert "API_TOKEN is not set" in findings["reach"].said


async def test_a_database_that_cannot_be_opened_is_broken(tmp_path: Path) -> None:
    assert (await server.database(Settings(database_url=url(tmp_path / "new" / "a.sqlite3")))).state == "ok"
    (tmp_path / "bad.sqlite3").write_bytes(b"this is not a database" * 100)
    assert (await server.database(Settings(database_url=url(tmp_path / "bad.sqlite3")))).state == "broken"
    assert (await server.database(Settings(database_url="mysql://x/y"))).state == "broken"


@pytest.mark.model
async def test_the_report_is_lines_or_json_and_tells_whether_all_is_well(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(model_dir=model_dir, port=0, database_url=url(tmp_path / "a.sqlite3"))
    assert await report(settings, as_json=True)
    found = json.loads(capsys.readouterr().out)
    subjects = {finding["subject"] for finding in found}
    assert {"python", "model", "precision", "memory", "threads", "port", "database", "slack"} <= subjects
    broken = replace(settings, model_dir=tmp_path / "none")
    assert not await report(broken, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("✗ model")]
    assert lines[-1].startswith("1 broken")


async def test_a_check_that_fails_itself_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(_: Settings) -> None:
        raise OSError("no /proc here")

    monkeypatch.setattr(server, "disk", fall)
    settings = Settings(model_dir=tmp_path, port=0, database_url=url(tmp_path / "a.sqlite3"))
    found = [finding async for finding in examine(settings)]
    assert any("could not be looked at (OSError: no /proc here)" in finding.said for finding in found)
    assert found[-1].subject == "slack"


def url(file: Path) -> str:
    """The address of an SQLite file."""
    return f"sqlite+aiosqlite:///{file}"


async def test_a_bot_is_a_server_that_lists_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def models(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer key":
            return web.Response(status=401)
        return web.json_response({"data": [{"id": "far"}]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = Settings(llm_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1", llm_api_key="key")
    try:
        found = await asyncio.to_thread(model.server, settings)
        assert (found.state, found.said) == ("ok", "far at LLM_URL")
        found = await asyncio.to_thread(model.server, replace(settings, llm_model="near"))
        assert found.mend == "it lists far"
        found = await asyncio.to_thread(model.server, replace(settings, llm_api_key=""))
        assert (found.state, found.mend) == ("broken", "set LLM_API_KEY")
        monkeypatch.setattr(model, "LOOPBACK", ())  # as if it were on another machine
        assert (await asyncio.to_thread(model.server, settings)).state == "warning"
    finally:
        await runner.cleanup()
