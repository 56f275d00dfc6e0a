"""Which torch `make setup` installs, from look-alikes of package indexes on localhost, with the real pip."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.app.torch_build import amount, constraints, pinned, serves
from config.settings import ROOT

VERSION = pinned().partition("==")[2]
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
MACHINE = f"{TAG}-{TAG}-linux_{platform.machine()}"
CARD = "card==1.0; extra == 'card'"
asks_first = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="only on x86 Linux is an index of builds for processors asked",
)


@dataclass
class Indexes:
    """Package indexes under one address, each in its own folder: NAME/PROJECT/index.html."""

    url: str
    root: Path
    asked: list[str] = field(default_factory=list)

    def add(
        self, index: str, version: str, tag: str = MACHINE, *, needs: str = "", project: str = "torch"
    ) -> Path:
        """A tiny wheel that an index has, its metadata beside it."""
        folder = self.root / index / project
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{project}-{version}-{tag}.whl"
        info = f"{project}-{version}.dist-info"
        about = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n" + (
            f"Requires-Dist: {needs}\n" if needs else ""
        )
        with zipfile.ZipFile(file, "w") as wheel:
            wheel.writestr(f"{project}/__init__.py", os.urandom(2000))
            wheel.writestr(f"{info}/METADATA", about)
            wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            wheel.writestr(f"{info}/RECORD", "")
        file.with_name(file.name + ".metadata").write_text(about)
        digest = hashlib.sha256(about.encode()).hexdigest()
        with (folder / "index.html").open("a") as page:
            href = file.name.replace("+", "%2B")
            page.write(f'<a href="{href}" data-core-metadata="sha256={digest}">{file.name}</a><br>\n')
        return file

    def address(self, index: str) -> str:
        """Of one of them."""
        return f"{self.url}/{index}"

    def fetched(self) -> list[str]:
        """The wheels that were fetched, and not only asked about."""
        return [
            path for method, path in map(str.split, self.asked) if method == "GET" and path.endswith(".whl")
        ]


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[Indexes]:
    """A server of them."""
    found = Indexes("", tmp_path / "indexes")
    found.root.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            found.asked.append(f"{self.command} {self.path}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(found.root)))
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python environment in which nothing but pip is installed."""
    directory = tmp_path_factory.mktemp("fresh")
    venv.create(directory, with_pip=True)
    return directory


@dataclass
class Setup:
    """What the script said, and what is there afterwards."""

    line: str
    errors: str
    code: int
    there: str
    constraints: str


@pytest.fixture
def setup(fresh: Path, indexes: Indexes, tmp_path: Path) -> Iterator[Any]:
    """Runs the script in the fresh environment: `setup("--index", URL)`."""
    python = fresh / "bin" / "python"
    # Whatever pip is configured to use here, a test asks the look-alikes alone.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    own |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": indexes.address("usual"), "PIP_RETRIES": "0"}
    own["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"

    def run(*arguments: str, **more: str) -> Setup:
        file = tmp_path / "constraints.txt"
        command = [str(python), "-m", "bot.app.torch_build", str(file), *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env={**own, **more}, capture_output=True, text=True, check=False
        )
        lines = [line for line in ended.stdout.splitlines() if line.startswith("torch: ")]
        listed = subprocess.run(
            [str(python), "-m", "pip", "list", "--format=freeze"], env=own, capture_output=True, text=True
        )
        there = "".join(re.findall(r"^torch==(.*)$", listed.stdout, re.MULTILINE))
        made = file.read_text() if file.exists() else ""
        return Setup("\n".join(lines), ended.stderr, ended.returncode, there, made)

    yield run
    subprocess.run([str(python), "-m", "pip", "uninstall", "-qy", "torch"], env=own, check=True)


@contextmanager
def socket_that_says_nothing() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/cpu"


@asks_first
def test_the_build_for_processors_is_taken_where_its_index_answers(indexes: Indexes, setup: Any) -> None:
    other = MACHINE.replace(platform.machine(), "aarch64")
    indexes.add("cpu", f"{VERSION}+cpu", other)
    indexes.add("cpu", "1.0.0+cpu")
    wheel = indexes.add("cpu", f"{VERSION}+cpu", needs="nobody-has-this")
    indexes.add("usual", VERSION)
    done = setup("--cpu-index", indexes.address("cpu"))
    shown = f"{wheel.stat().st_size / 1e6:.1f} MB to fetch"
    assert done.line == f"torch: the build for processors, from {indexes.address('cpu')}: {shown}"
    assert (done.code, done.there) == (0, f"{VERSION}+cpu")
    assert f"\ntorch=={VERSION}+cpu\n" in done.constraints
    assert done.constraints.count("torch==") == 1


@asks_first
@pytest.mark.parametrize("trouble", ["refuses", "hangs", "is no index", "has no such version"])
def test_the_usual_index_is_taken_where_the_other_does_not_serve(
    indexes: Indexes, setup: Any, trouble: str
) -> None:
    indexes.add("cpu", "1.0.0+cpu")
    indexes.add("usual", "2.0", "py3-none-any", project="graphics")
    sizes = [
        indexes.add("usual", VERSION, needs="graphics[card]==3.*").stat().st_size,
        indexes.add("usual", "3.0", "py3-none-any", project="graphics", needs=CARD).stat().st_size,
        indexes.add("usual", "1.0", "py3-none-any", project="card").stat().st_size,
    ]
    with socket_that_says_nothing() as silent:
        address = {
            "refuses": "http://127.0.0.1:9/cpu",
            "hangs": silent,
            "is no index": indexes.address("nowhere"),
            "has no such version": indexes.address("cpu"),
        }[trouble]
        seconds = "0.5" if trouble == "hangs" else "300"
        done = setup("--cpu-index", address, "--seconds", seconds)
    assert done.line.startswith("torch: from the usual package index: ")
    assert f"; {address} {'has no' if 'version' in trouble else 'does not answer'}" in done.line
    assert (done.code, done.there) == (0, VERSION)
    assert len(indexes.fetched()) == 1  # to find out how much it is, no wheel is fetched
    if "hangs" not in trouble:
        assert f"{sum(sizes) / 1e6:.1f} MB to fetch" in done.line


@asks_first
def test_a_download_that_fails_midway_falls_back_with_a_line(indexes: Indexes, setup: Any) -> None:
    indexes.add("cpu", f"{VERSION}+cpu").write_bytes(b"half a wheel")
    indexes.add("usual", VERSION)
    done = setup("--cpu-index", indexes.address("cpu"))
    first, second = done.line.splitlines()
    assert "the build for processors" in first
    assert "from the usual package index" in second
    assert f"{indexes.address('cpu')} failed" in second
    assert done.errors
    assert (done.code, done.there) == (0, VERSION)


def test_where_pip_looks_in_several_places_no_amount_is_made_up(indexes: Indexes, setup: Any) -> None:
    indexes.add("usual", VERSION)
    indexes.add("more", f"{VERSION}+more", "py3-none-any")
    done = setup("--cpu-index", "http://127.0.0.1:9/cpu", PIP_EXTRA_INDEX_URL=indexes.address("more"))
    assert done.line.startswith("torch: from the usual package index: how much will be fetched is not known")
    assert (done.code, done.there) == (0, f"{VERSION}+more")


def test_torch_index_decides(indexes: Indexes, setup: Any) -> None:
    indexes.add("cpu", f"{VERSION}+cpu")
    indexes.add("usual", VERSION)
    indexes.add("own", f"{VERSION}+mine", "py3-none-any")
    done = setup("--index", indexes.address("own"), "--cpu-index", indexes.address("cpu"))
    assert done.line.startswith(f"torch: from TORCH_INDEX, {indexes.address('own')}: 0.0 MB")
    assert done.there == f"{VERSION}+mine"
    assert not [line for line in indexes.asked if "/own/" not in line]


def test_an_index_that_does_not_serve_is_an_error_where_it_was_named(indexes: Indexes, setup: Any) -> None:
    indexes.add("usual", VERSION)
    done = setup("--index", indexes.address("nowhere"))
    assert done.code != 0
    assert "is not known" in done.line
    assert "No matching distribution found for torch" in done.errors
    assert (done.there, done.constraints) == ("", "")


def test_a_torch_that_serves_is_kept_and_one_that_does_not_is_replaced(
    fresh: Path, indexes: Indexes, setup: Any
) -> None:
    low = re.search(r'"torch>=([\d.]+),<', (ROOT / "pyproject.toml").read_text())
    assert low is not None
    for version in ("1.0.0", f"{low[1]}.7+cu999"):
        indexes.add("own", version, "py3-none-any")
    indexes.add("usual", VERSION, "py3-none-any")
    for version, found in (("1.0.0", VERSION), (f"{low[1]}.7+cu999", f"{low[1]}.7+cu999")):
        wheel = indexes.root / "own" / "torch" / f"torch-{version}-py3-none-any.whl"
        pip = [str(fresh / "bin" / "python"), "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
        subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True)
        done = setup("--cpu-index", "http://127.0.0.1:9/cpu")
        assert (done.code, done.there) == (0, found)
        assert f"\ntorch=={found}\n" in done.constraints
    assert done.line == f"torch: {found} is installed and kept: nothing to fetch"


def test_a_torch_serves_that_is_in_the_range_whatever_its_build() -> None:
    assert serves(VERSION)
    assert serves(f"{VERSION}+cu130")
    assert not serves("1.13.1")
    assert not serves("99.0")
    assert constraints("2.12.1+cpu").count("torch==") == 1


def test_amounts_are_said_in_words_and_never_made_up() -> None:
    assert amount(184_000_000) == "184.0 MB to fetch"
    assert amount(2_860_000_000) == "2.9 GB to fetch"
    assert amount(900_000_000, whole=False) == "at least 900.0 MB to fetch"
    assert amount(None) == "how much will be fetched is not known"
