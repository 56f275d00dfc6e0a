"""Models come whole from a model hub, or not at all; what has arrived is not fetched again.

The hub is a look-alike on localhost: where this is tested no real one can be reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from fake_hub import REVISION, Hub, serve_hub
from patience import PATIENCE, wait_until
from small_models import random_model, write_directory, write_gguf

from bot.models import ModelError, check_model, hub
from bot.models.catalogue import MISSION, HubModel
from bot.models.fetch import fetch, fetch_entry
from config.settings import ROOT

MODEL = HubModel("small", "somebody/Small-Chat")
FETCHED = [
    "LICENSE",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the hub has: a model of 31 MB, more than the client takes at once, and files nobody needs."""
    directory = write_directory(tmp_path_factory.mktemp("hub") / "files", intermediate_size=20_000)
    for name in ("LICENSE", "README.md", "merges.txt", "pytorch_model.bin"):
        (directory / name).write_text(f"this is {name}\n")
    return directory


@pytest_asyncio.fixture(loop_scope="session")
async def small_hub(files: Path) -> AsyncIterator[Hub]:
    async with serve_hub(files, MODEL.repository) as opened:
        yield opened


async def _fetch(small_hub: Hub, models: Path) -> Path:
    return await asyncio.to_thread(fetch_entry, MODEL, small_hub.url, models)


async def test_the_needed_files_arrive_with_their_revision_and_nothing_twice(
    small_hub: Hub, files: Path, tmp_path: Path
) -> None:
    directory = await _fetch(small_hub, tmp_path)
    assert sorted(file.name for file in directory.iterdir()) == sorted([*FETCHED, "source.json"])
    for name in FETCHED:
        assert (directory / name).read_bytes() == (files / name).read_bytes()
    source = json.loads((directory / "source.json").read_text())
    assert (source["repository"], source["revision"]) == (MODEL.repository, REVISION)
    assert source["checksums"]["model.safetensors"] == small_hub.checksum("model.safetensors")
    small_hub.heads.clear()
    small_hub.gets.clear()
    assert await _fetch(small_hub, tmp_path) == directory
    assert small_hub.heads == small_hub.gets == []


async def test_a_killed_fetch_leaves_nothing_that_looks_whole_and_goes_on_where_it_stopped(
    small_hub: Hub, files: Path, tmp_path: Path
) -> None:
    small_hub.stalled = asyncio.Event()
    code = (
        "import sys; from pathlib import Path\n"
        "from bot.models.catalogue import HubModel; from bot.models.fetch import fetch_entry\n"
        "fetch_entry(HubModel(*sys.argv[1:3]), sys.argv[3], Path(sys.argv[4]))"
    )
    given = [MODEL.name, MODEL.repository, small_hub.url, str(tmp_path)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *given, cwd=ROOT, stderr=subprocess.DEVNULL
    )
    half = tmp_path / "small.part" / "model.safetensors.half"
    await wait_until(lambda: half.is_file() and half.stat().st_size >= 10_000_000)
    child.kill()
    await child.wait()
    arrived = half.stat().st_size
    assert 10_000_000 <= arrived < (files / "model.safetensors").stat().st_size
    assert not (tmp_path / "small").exists()
    small_hub.stalled.set()
    small_hub.gets.clear()
    directory = await _fetch(small_hub, tmp_path)
    assert small_hub.gets == [("model.safetensors", f"bytes={arrived}-")]
    assert (directory / "model.safetensors").read_bytes() == (files / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
async def test_a_file_damaged_on_the_way_is_not_used(small_hub: Hub, tmp_path: Path, name: str) -> None:
    small_hub.spoilt.add(name)
    with pytest.raises(ModelError, match=f"{name} arrived damaged"):
        await _fetch(small_hub, tmp_path)
    assert not (tmp_path / "small").exists()
    small_hub.spoilt.clear()
    small_hub.gets.clear()
    check_model(await _fetch(small_hub, tmp_path))
    assert small_hub.gets[0] == (name, "")  # and what came before it was there


async def test_half_a_file_of_another_revision_is_begun_anew(small_hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "small.part").mkdir()
    (tmp_path / "small.part" / "model.safetensors.half").write_bytes(b"older weights" * 1000)
    check_model(await _fetch(small_hub, tmp_path))
    assert [get for get in small_hub.gets if get[0] == "model.safetensors"] == [
        ("model.safetensors", "bytes=13000-"),
        ("model.safetensors", ""),
    ]


async def test_of_a_damaged_directory_only_the_damaged_file_is_fetched(
    small_hub: Hub, tmp_path: Path
) -> None:
    directory = await _fetch(small_hub, tmp_path)
    os.truncate(directory / "model.safetensors", 1000)
    small_hub.gets.clear()
    check_model(await _fetch(small_hub, tmp_path))
    assert small_hub.gets == [("model.safetensors", "")]


async def test_a_hub_without_the_model_is_told_by_name(small_hub: Hub, tmp_path: Path) -> None:
    lost = HubModel("lost", "somebody/Lost")
    with pytest.raises(ModelError, match=f"no model hub at {small_hub.url}"):
        await asyncio.to_thread(fetch_entry, lost, small_hub.url, tmp_path)
    assert os.listdir(tmp_path) == [".fetch.lock"]


async def test_a_hub_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # After ANSWER_SECONDS the request itself would be given up, with another reason.
        with pytest.raises(hub.HubUnreachable, match="no answer"):
            await asyncio.wait_for(asyncio.to_thread(fetch_entry, MODEL, url, tmp_path), PATIENCE)


def test_a_known_model_that_is_whole_needs_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_directory(tmp_path / MISSION.name)
    assert fetch(None, "http://127.0.0.1:1", tmp_path) == tmp_path / MISSION.name


def test_the_command_asks_the_hub_that_hf_endpoint_names() -> None:
    if (ROOT / "models" / MISSION.name).is_dir():
        pytest.skip("the mission's model is there already")
    done = subprocess.run(
        [sys.executable, "-m", "bot", "fetch", MISSION.name],
        cwd=ROOT,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no model hub at http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


async def test_one_gguf_file_of_a_repository_is_fetched_alone(tmp_path: Path) -> None:
    (offered := tmp_path / "offered").mkdir()
    write_gguf(offered / "m-q4_k_m.gguf", random_model(), head="F16")
    (offered / "m-q8_0.gguf").write_text("another one")
    model = HubModel("small", "someone/Small-GGUF", gguf="m-q4_k_m.gguf")
    async with serve_hub(offered, model.repository) as hub:
        directory = await asyncio.to_thread(fetch_entry, model, hub.url, tmp_path / "models")
        assert sorted(file.name for file in directory.iterdir()) == ["m-q4_k_m.gguf", "source.json"]
        check_model(directory)
        lost = replace(model, name="lost", gguf="m-q2_k.gguf")
        with pytest.raises(ModelError, match=r"someone/Small-GGUF has no m-q2_k\.gguf"):
            await asyncio.to_thread(fetch_entry, lost, hub.url, tmp_path / "models")
