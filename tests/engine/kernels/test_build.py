"""The library is compiled whole or not at all, by whichever compiler there is; without one torch computes."""

from __future__ import annotations

import ctypes.util
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from random_model import random_model

from bot.engine import EngineError
from bot.engine.factory import open_decoder
from bot.engine.kernels import bindings, build_library
from bot.engine.kernels.bindings import KernelsMissing, load_library
from bot.engine.kernels.build_library import BuildError, build, sources_digest, system_compiler, zig_compiler
from bot.engine.model.decoder import Chunk
from config.settings import ROOT


@pytest.fixture
def compiler() -> list[str]:
    """Whichever there is."""
    found = system_compiler() or zig_compiler()
    if found is None:
        pytest.skip("needs a C compiler, or the package ziglang")
    return found


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the bot looks for its library: nothing is there."""
    monkeypatch.setattr(bindings, "LIBRARY", tmp_path / "kernels.so")
    load_library.cache_clear()
    yield tmp_path / "kernels.so"
    load_library.cache_clear()


def test_a_build_is_loaded_and_knows_its_sources(compiler: list[str], library: Path) -> None:
    assert build(compiler, library) == {}
    assert load_library().kernels_sources().decode() == sources_digest()
    assert [*library.parent.iterdir()] == [library]


@pytest.mark.parametrize("reason", ["absent", "damaged", "of other sources", "no library of kernels"])
def test_without_the_library_a_sentence_says_so_and_torch_computes(
    reason: str,
    library: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if reason == "damaged":
        library.write_bytes(b"\x7fELF" + bytes(100))
    elif reason == "of other sources":
        monkeypatch.setattr(bindings, "LIBRARY", build_library.LIBRARY)
        monkeypatch.setattr(bindings, "sources_digest", lambda: "0" * 32)
    elif reason == "no library of kernels":
        monkeypatch.setattr(bindings, "LIBRARY", Path(ctypes.util.find_library("m") or "libm.so.6"))
        monkeypatch.setattr(Path, "is_file", lambda _: True)
        monkeypatch.setattr(bindings, "_is_cut_short", lambda _: False)  # the loader knows where it lies
    with pytest.raises(KernelsMissing, match="run `make setup`"):
        load_library()
    monkeypatch.undo()
    monkeypatch.setattr(bindings, "LIBRARY", tmp_path / "none.so")
    load_library.cache_clear()
    random_model().save_pretrained(tmp_path / "model")
    with caplog.at_level(logging.WARNING):
        found = open_decoder(tmp_path / "model", "int8")
    assert found.precision == "fp32"
    assert "torch computes" in caplog.text
    assert "make setup" in caplog.text
    assert np.isfinite(found.forward([Chunk([1, 2, 3], found.new_cache())])).all()


LOADED = """
import sys
from pathlib import Path
from bot.engine.kernels import bindings
bindings.LIBRARY = Path(sys.argv[1])
try:
    print(list(bindings.all_kernels()))
except bindings.KernelsMissing as problem:
    print(problem)
"""


@pytest.mark.parametrize("kept", [0, 20, 64, 5000, 0.5, 0.9, -1, 1])
def test_a_library_that_is_cut_short_is_refused_and_does_not_end_the_process(
    kept: float, tmp_path: Path
) -> None:
    if sys.platform != "linux":
        pytest.skip("only ELF libraries are looked at")
    whole = build_library.LIBRARY.read_bytes()
    size = kept if isinstance(kept, int) else int(kept * len(whole))
    (tmp_path / "kernels.so").write_bytes(whole if kept == 1 else whole[:size])
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "kernels.so")],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert ("'plain'" if kept == 1 else "run `make setup`") in done.stdout


def test_a_compiler_that_fails_leaves_what_was_there(compiler: list[str], library: Path) -> None:
    library.write_bytes(b"the one before")
    with pytest.raises(BuildError, match="failed"):
        build([*compiler, "-include", "no_such_file.h"], library)
    with pytest.raises(BuildError, match="cannot be run"):
        build(["no-such-compiler"], library)
    assert library.read_bytes() == b"the one before"
    assert [*library.parent.iterdir()] == [library]


def test_an_instruction_set_that_the_compiler_does_not_know_is_left_out(
    compiler: list[str], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {"avx2": ("-mno-such-instructions",)}
    monkeypatch.setattr(build_library, "INSTRUCTION_SETS", {build_library.machine(): sets})
    assert build(compiler, library) == {"avx2": "this compiler does not know -mno-such-instructions"}
    assert [*bindings.all_kernels()] == ["plain"]


def test_an_instruction_set_whose_source_does_not_compile_is_left_out_with_what_the_compiler_said(
    compiler: list[str], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {"avx2": ("-DKERNELS=!",)}
    monkeypatch.setattr(build_library, "INSTRUCTION_SETS", {build_library.machine(): sets})
    left_out = build(compiler, library)
    assert left_out["avx2"].startswith("its source does not compile: ")
    assert "error:" in left_out["avx2"]
    assert [*bindings.all_kernels()] == ["plain"]


SLOW = """#!/bin/sh
echo begun >> "$BEGUN"
sleep 60
"""


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_cc_is_none(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    found = system_compiler()
    monkeypatch.setenv("CC", blank)
    assert system_compiler() == found


def test_a_cc_that_is_no_command_is_named(
    library: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", 'gcc "')
    with pytest.raises(BuildError, match=r'^CC=gcc " is no command: No closing quotation$'):
        system_compiler()
    monkeypatch.setattr(build_library, "LIBRARY", library)
    build_library.build_or_say_why()
    assert 'CC=gcc " is no command' in capfd.readouterr().err


def test_a_killed_build_leaves_what_was_there(library: Path, tmp_path: Path) -> None:
    library.write_bytes(b"the one before")
    slow, begun = tmp_path / "slow-cc", tmp_path / "begun"
    slow.write_text(SLOW, encoding="ascii")
    slow.chmod(0o755)
    os.mkfifo(begun)
    code = "import sys; from pathlib import Path; from bot.engine.kernels.build_library import build;"
    code += "build([sys.argv[1]], Path(sys.argv[2]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(slow), str(library)],
        cwd=ROOT,
        env={**os.environ, "BEGUN": str(begun)},
        start_new_session=True,
    ) as building:
        assert begun.read_text(encoding="ascii").startswith("begun")
        os.killpg(building.pid, signal.SIGKILL)
    assert library.read_bytes() == b"the one before"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What is installed, in a directory of its own: a build leaves traces."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("bot", "handlers", "config"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=ignored)
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    return tmp_path / "checkout"


BACKEND = """
import sys
from bot.engine.kernels import build_backend, build_library
build_library.system_compiler = lambda: None
print([each for each in build_backend.get_requires_for_build_wheel() if "zig" in each])
build_library.zig_compiler = lambda: None
build_library.build = lambda *_: sys.exit("there is nothing to build with")
build_library.build_or_say_why()
"""


def test_zig_is_asked_for_where_there_is_no_compiler_and_without_it_a_sentence_says_the_mend(
    checkout: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BACKEND], cwd=checkout, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert "['ziglang>=" in done.stdout
    assert "torch computes" in done.stderr
    assert "apt install gcc" in done.stderr


@pytest.fixture
def setuptools_alone(tmp_path: Path) -> Path:
    """A folder of wheels, with the one of the setuptools that is installed."""
    found = metadata.distribution("setuptools")
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / f"wheels/setuptools-{found.version}-py3-none-any.whl", "w") as wheel:
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                wheel.write(found.locate_file(file), file)
    return tmp_path / "wheels"


@pytest.mark.parametrize("without", ["0", "1"])
def test_where_nothing_compiles_pip_installs_without_kernels_if_told_so(
    without: str, checkout: Path, setuptools_alone: Path, tmp_path: Path
) -> None:
    (tmp_path / "no tools").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "CC"))}
    environment |= {"PATH": str(tmp_path / "no tools"), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    environment |= {"PIP_FIND_LINKS": setuptools_alone.as_uri(), "WITHOUT_KERNELS": without}
    command = [sys.executable, "-m", "pip", "wheel", ".", "--verbose", "--no-deps"]
    done = subprocess.run(
        [*command, "--wheel-dir", tmp_path / "made"],
        cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    if without == "0":
        assert done.returncode != 0
        assert "No matching distribution found for ziglang" in done.stderr + done.stdout
        return
    assert done.returncode == 0, done.stderr
    assert "not built, as WITHOUT_KERNELS says, and torch computes" in done.stderr + done.stdout
    (wheel,) = (tmp_path / "made").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "bot/engine/kernels/kernels.h" in names
    assert not [name for name in names if name.endswith(".so")]


def test_make_setup_builds_what_is_missing_and_says_with_what(checkout: Path, compiler: list[str]) -> None:
    made = checkout / "bot/engine/kernels/kernels.so"
    command = [sys.executable, "-X", "importtime", "-m", "bot.engine.kernels.ensure_library"]

    def said() -> str:
        done = subprocess.run(
            command, cwd=checkout, check=True, capture_output=True, text=True, timeout=PATIENCE
        )
        assert not re.search(r"\btorch$", done.stderr, re.MULTILINE), "which takes seconds to import"
        lines = done.stderr.splitlines()
        return "\n".join(line for line in lines if not line.startswith("import time:"))

    for damage in (b"", b"no library"):
        made.write_bytes(damage)
        assert said() == f"kernels: compiling them with {shlex.join(compiler)}"
    made.unlink()
    assert said().startswith("kernels: compiling")
    before = (made.stat().st_ino, made.stat().st_ctime_ns)
    assert said() == ""
    assert (made.stat().st_ino, made.stat().st_ctime_ns) == before


def test_make_setup_looks_for_the_library_though_the_package_is_installed() -> None:
    made = shutil.which("make")
    if made is None:
        pytest.skip("needs make")
    done = subprocess.run(
        [made, "--dry-run", "--old-file=.venv/.installed", "setup"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "-m bot.engine.kernels.ensure_library" in done.stdout


WHEEL = """
import sys
from bot.engine.kernels import build_backend, build_library
for settings in ({"--build-option": "--quiet"}, {"--build-option": ["--quiet"]}):
    before = str(settings)
    made = build_backend._for_platform(settings)
    assert made["--build-option"][0] == "--quiet" and len(made["--build-option"]) == 2
    assert str(settings) == before
build_backend.build_wheel(sys.argv[1], {"--build-option": "--quiet"})
"""


def test_a_wheel_is_for_the_platform_and_has_the_library(
    checkout: Path, tmp_path: Path, compiler: list[str]
) -> None:
    assert compiler
    command = [sys.executable, "-c", WHEEL, str(tmp_path)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name, "for any Python"
    assert not wheel.name.endswith("-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"bot/engine/kernels/kernels.so", "bot/engine/kernels/kernels.h"} <= {*names}


SDIST = "import sys; from bot.engine.kernels.build_backend import build_sdist; build_sdist(sys.argv[1])"


def test_an_sdist_has_the_kernels_sources_and_no_library(checkout: Path, tmp_path: Path) -> None:
    (checkout / "bot/engine/kernels/kernels.so").write_bytes(b"of this machine")
    command = [sys.executable, "-c", SDIST, str(tmp_path)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, timeout=PATIENCE)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {f"bot/engine/kernels/{file.name}" for file in build_library.HERE.glob("*.[ch]")}
    assert sources | {"config/strings/en.toml", "MANIFEST.in"} <= names
    assert not [name for name in names if name.endswith(".so")]


def test_kernels_that_a_processor_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    some = bindings.all_kernels()
    monkeypatch.setattr(bindings, "runnable", lambda: {"plain": some["plain"]})
    name = next(iter(some))
    if name == "plain":
        pytest.skip("this platform has no other kernels")
    with pytest.raises(EngineError, match=f"KERNELS={name}: this processor cannot run such kernels"):
        bindings.choose_kernels(name)
